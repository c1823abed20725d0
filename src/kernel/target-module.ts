// A module of the kernel that a patch changes or refers to, read from its file: its functions as they will be in memory, as far
// as the file tells, and where its other symbols are.

import type { Architecture, EntryWay } from '../arch/arch.ts';
import { architectureOfElf } from '../arch/architectures.ts';
import { SHF_ALLOC, SHF_EXECINSTR, STT_FUNC, STT_OBJECT } from '../elf/constants.ts';
import { cString, findSection, isSection, readElf } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';
import { linkAddress } from '../elf/units.ts';
import { reasonError } from '../reason.ts';
import { elfBuildId } from './build-id.ts';
import { relocationsOf } from './loader-relocations.ts';
import { readModinfo } from './modinfo.ts';
import type { ModuleAbi } from './module-abi.ts';
import {
  entrySite,
  type OldFunction,
  type OtherWay,
  remedyAtEntry,
  remedyWithoutSite,
  wholeWords,
  wordsOf,
} from './old-function.ts';
import { rewrittenCode } from './rewritten-code.ts';

export interface TargetModule {
  /** As in /proc/modules. */
  readonly name: string;
  readonly arch: Architecture;
  readonly buildId: Uint8Array;
  readonly model: ElfModel;
}

/** A symbol of a module that is defined in memory that stays. */
export interface TargetSymbol extends ElfSymbol {
  readonly place: Section;
}

/** What the loader keeps beyond a module's init: by this prefix (kernel/module/main.c, Linux 6.1, module_init_section). */
const isInit = ({ name }: Section) => name.startsWith('.init');

const isCode = ({ flags }: Section) => (flags & SHF_ALLOC) !== 0n && (flags & SHF_EXECINSTR) !== 0n;

/** A module's own name: what `struct module` has, or else `.modinfo`. */
export function moduleNameOf(model: ElfModel, abi: Pick<ModuleAbi, 'nameOffset'>): string | undefined {
  const struct = findSection(model, '.gnu.linkonce.this_module');
  const own = struct && struct.data.length > abi.nameOffset ? cString(struct.data, abi.nameOffset) : undefined;
  if (own) return own;
  return new Map(readModinfo(findSection(model, '.modinfo')?.data ?? new Uint8Array())).get('name');
}

/** Refuses a module that the kernel's loader would not take: `wrong-kernel`. `place` names the file. */
export function checkModuleIsFor(
  model: ElfModel,
  arch: Architecture,
  abi: Pick<ModuleAbi, 'vermagic' | 'structModuleSize'>,
  place: string,
): void {
  const remedy = 'compile it against the headers of this very kernel';
  if (architectureOfElf(model.header)?.platform.name !== arch.platform.name) {
    throw reasonError('wrong-kernel', place, `it is not for ${arch.platform.name}`, remedy);
  }
  const info = findSection(model, '.modinfo');
  const struct = findSection(model, '.gnu.linkonce.this_module');
  if (!info || !struct) {
    throw reasonError(
      'wrong-kernel',
      place,
      'it is no kernel module',
      'give the .ko that the kernel’s build system made',
    );
  }
  const vermagic = new Map(readModinfo(info.data)).get('vermagic') ?? '';
  if (vermagic.trim() !== abi.vermagic.trim()) {
    throw reasonError('wrong-kernel', place, `its vermagic is "${vermagic}", the kernel’s "${abi.vermagic}"`, remedy);
  }
  if (struct.size !== abi.structModuleSize) {
    const sizes = `its struct module has ${struct.size} bytes, the kernel’s ${abi.structModuleSize}`;
    throw reasonError('wrong-kernel', place, sizes, remedy);
  }
}

/** Reads a target. Throws `elf-malformed`, `elf-unsupported`, `wrong-kernel`. */
export function readTargetModule(bytes: Uint8Array, file: string, arch: Architecture, abi: ModuleAbi): TargetModule {
  const model = readElf(bytes, file);
  checkModuleIsFor(model, arch, abi, file);
  const name = moduleNameOf(model, abi) ?? '';
  const buildId = elfBuildId(model, file);
  if (!buildId) {
    throw reasonError(
      'wrong-kernel',
      file,
      'it has no build id, so another build of it could not be told from it',
      'link it with --build-id, as the kernel’s build system does',
    );
  }
  return { name, arch, buildId, model };
}

/**
 * The symbol that a name and a sympos mean in a module (0: the name must be unique), for a function as klp_find_callback in
 * kernel/livepatch/core.c, Linux 6.1, counts: in the order of the symbol table. Once a module is live the kernel
 * remembers its functions alone, so the count must be the same among these. Throws `name-missing`, `name-ambiguous`, `init-text`.
 */
export function findTargetSymbol(target: TargetModule, name: string, sympos: number): TargetSymbol {
  const place = `${target.name}: ${name}`;
  const named = target.model.symbols.filter((symbol) => symbol.name === name && symbol.place !== 'undefined');
  const symbol = named[sympos === 0 ? 0 : sympos - 1];
  if (!symbol) {
    throw reasonError(
      'name-missing',
      place,
      named.length > 0
        ? `sympos ${sympos} was asked for, the module has ${named.length} of this name`
        : 'the module has no symbol of this name (a function may have been inlined everywhere)',
      'give the module as it runs with --module, or patch what uses it',
    );
  }
  if (sympos === 0 && named.length > 1) {
    throw reasonError('name-ambiguous', place, `the module has ${named.length} of this name`, 'give a sympos');
  }
  if (!isSection(symbol.place) || (symbol.type !== STT_FUNC && symbol.type !== STT_OBJECT && symbol.type !== 0)) {
    throw reasonError('name-missing', place, 'it is no function and no data of the module', 'name one that is');
  }
  if (isInit(symbol.place)) {
    throw reasonError(
      'init-text',
      place,
      'it is in memory that the kernel gives back once the module is there',
      'it has run already, or will before anybody could patch it: there is nothing to patch',
    );
  }
  const live = named.filter((each) => isSection(each.place) && isCode(each.place) && !isInit(each.place));
  if (isCode(symbol.place) && sympos !== 0 && live.indexOf(symbol) !== named.indexOf(symbol)) {
    throw reasonError(
      'name-ambiguous',
      place,
      'it stands behind data or initialisation code of this name, which the kernel forgets, so its sympos changes',
      'patch its callers instead',
    );
  }
  return symbol as TargetSymbol;
}

/** Whether a symbol is found by name among a live module's functions; what is not lies at an offset of its section. */
export const isTargetFunction = (symbol: TargetSymbol): boolean => isCode(symbol.place);

/**
 * A function of a module that is to be redirected, at its call site, or with `entry` at its entry. Its address is 0: what the
 * loader will make of it is not known, and `site` is the distance from the function's start. `other` is for remedies.
 * Throws what `findTargetSymbol` throws, and `no-call-site`, `self-modified-unknown`, `entry-rewritten`, `entry-in-use`.
 */
export function findTargetFunction(
  target: TargetModule,
  name: string,
  sympos: number,
  entry?: EntryWay,
  other?: OtherWay,
): OldFunction {
  const symbol = findTargetSymbol(target, name, sympos);
  const place = `${target.name}: ${name}`;
  const { place: section } = symbol;
  if (!isTargetFunction(symbol) || symbol.type !== STT_FUNC) {
    throw reasonError('name-missing', place, 'the symbol of this name is not one of a function', 'name a function');
  }
  const start = Number(symbol.value & ~target.arch.codeBit);
  const size = Number(symbol.size);
  const end = start + size;
  if (start % 4 !== 0 || size < 4 || end > section.data.length) {
    throw reasonError(
      'name-missing',
      place,
      'its code is not in the file',
      'give the module as the build system made it',
    );
  }
  const bytes = new Uint8Array(wholeWords(size));
  bytes.set(section.data.subarray(start, start + bytes.length));
  const words = wordsOf(bytes);
  const site = target.arch.moduleCallSites(section).find((offset) => offset > start && offset < end);
  if (site === undefined && !entry) {
    throw reasonError(
      'no-call-site',
      place,
      'the function has no call of mcount (it is notrace, assembly, or compiled without -pg)',
      remedyWithoutSite(other, (way) => findTargetFunction(target, name, sympos, way)),
    );
  }
  const text = { name, address: linkAddress(0n), words };
  const masked = maskedWords(target, section, start, words, site, place);
  if (!entry) return { ...text, way: 'ftrace', site: linkAddress(BigInt(site! - start)), masked };
  const index = entrySite(entry, text, masked, undefined, place, remedyAtEntry(other, site !== undefined));
  return { ...text, way: 'entry', site: linkAddress(BigInt(4 * index)), masked };
}

/** Words that may differ in memory: those that the loader relocates, and those that the kernel rewrites by its tables. */
function maskedWords(
  target: TargetModule,
  section: Section,
  start: number,
  words: Uint32Array,
  site: number | undefined,
  place: string,
): Uint32Array {
  const { arch } = target;
  const masked = new Set<number>();
  const mask = (from: number, bytes: number): void => {
    for (let at = from & ~3; at < from + bytes; at += 4) {
      if (at >= start && at < start + 4 * words.length) masked.add((at - start) >> 2);
    }
  };
  if (site !== undefined) mask(site, 4);
  // What lies behind the section is not known.
  if (start + 4 * words.length > section.data.length) masked.add(words.length - 1);
  for (const { offset, type } of relocationsOf(target.model, section)) {
    mask(offset, arch.relocationReach(type, words[((offset - start) >> 2) + 1]));
  }
  const refuse = (message: string) => reasonError('self-modified-unknown', place, message, 'patch its callers instead');
  for (const { from, bytes } of rewrittenCode(arch, target.model, refuse).get(section) ?? []) mask(from, bytes);
  return Uint32Array.from(masked).sort();
}
