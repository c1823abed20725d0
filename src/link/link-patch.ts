// From a compiled fix to a loadable live patch: what modpost and ld would do, and what makes it a patch.
//
// The object comes from the kernel's own Kbuild. Debug sections and what Kbuild's tools added for ftrace are taken out;
// undefined symbols are bound; stubs, the patch table, the table of call sites, `struct module`, modinfo and versions are
// put in. Same input, same bytes.

import type { Architecture, CallSite, SelfModified } from '../arch/arch.ts';
import { SHF_ALLOC, STT_FUNC } from '../elf/constants.ts';
import { isSection, removeSections, writeElf } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';
import type { ModuleAbi } from '../kernel/module-abi.ts';
import { ModuleCode } from '../kernel/module-code.ts';
import { findOldFunction, symbolsNamed } from '../kernel/old-function.ts';
import { patchTableSymbol, type Way } from '../kernel/patch-module.ts';
import { refusalByName } from '../kernel/refused-names.ts';
import { findTargetFunction, type TargetModule } from '../kernel/target-module.ts';
import { type Attempt, collectReasons, type Reason, reasonError, throwReasons } from '../reason.ts';
import { type Binding, bindSymbols, type SymbolSources, unsupportedRelocations } from './bind-symbols.ts';
import { checkFix } from './check-fix.ts';
import { finishModule, thisModuleSymbol } from './finish-module.ts';
import { bindLate, lateModules, lateSymbolName, targetOf } from './late-symbols.ts';
import {
  addStubsAndTable,
  beyondLimits,
  entryWayFor,
  type LinkedObject,
  type LinkedRedirect,
  makeRedirect,
  otherWay,
  replacedTwice,
} from './redirects.ts';

export interface PatchInput {
  readonly arch: Architecture;
  readonly sources: SymbolSources;
  readonly abi: ModuleAbi;
  readonly callSites: readonly CallSite[];
  readonly selfModified: SelfModified;
  /** The compiled fix, with `init_module` and `cleanup_module`. It is changed. */
  readonly object: ElfModel;
  /** The module's name, as `lsmod` will show it. */
  readonly name: string;
  readonly replacements: readonly Replacement[];
  /** How functions are redirected; at their call sites if it is left out. */
  readonly way?: Way;
  /** The modules that replacements name, by name. */
  readonly targets?: ReadonlyMap<string, TargetModule>;
  /**
   * For a proof of functions, which nobody will load: is told of each that cannot be redirected, and it is left out. What
   * its name alone would refuse is not asked. Without this, one such function refuses the patch.
   */
  readonly leaveOut?: (replacement: Replacement, reasons: readonly Reason[]) => void;
}

/** Which function of the object takes the place of which one of the kernel; without a module, of one of vmlinux. */
export interface Replacement {
  readonly newName: string;
  readonly oldName: string;
  readonly sympos: number;
  readonly module?: string;
  /** Whether the new function was compiled in the very place of the old one: then a copy that gcc made may be replaced. */
  readonly isSameCopy?: boolean;
}

export interface LinkedPatch {
  readonly bytes: Uint8Array;
  readonly redirects: readonly LinkedRedirect[];
  /** Symbols bound to addresses, by name. */
  readonly bound: ReadonlyMap<string, Binding>;
}

/** What a patch has of its own, as every module has some of it. */
const madeHere = [patchTableSymbol, thisModuleSymbol];

/** Links the patch. Throws `ReasonError` with every reason found, not only the first. */
export function linkPatch(input: PatchInput): LinkedPatch {
  const { arch, object } = input;
  const { reasons, attempt } = collectReasons();

  stripObject(object);
  const modules = objectsOf(input);
  const counts = { objects: modules.length, redirects: input.replacements.length, recipes: 0 };
  reasons.push(...checkFix(object), ...beyondLimits(counts));
  const newFunctions = new Map(
    object.symbols.filter((s) => s.type === STT_FUNC && isSection(s.place)).map((s) => [s.name, s]),
  );
  nameSymbolsOfTargets(input, attempt);
  const late = bindLate(object, arch, input.sources.image, input.targets ?? new Map(), attempt);
  const code = new ModuleCode(arch, object);
  const objects = modules.map((name): LinkedObject => {
    const redirects = input.replacements
      .filter(({ module = '' }) => module === name)
      .flatMap((r) => {
        const before = reasons.length;
        const made = attempt(() => redirect(input, code, r, newFunctions.get(r.newName)));
        if (!made && input.leaveOut) input.leaveOut(r, reasons.splice(before));
        return made ? [made] : [];
      });
    reasons.push(...replacedTwice(redirects));
    return { module: input.targets?.get(name), redirects, recipes: late.get(name) ?? [] };
  });
  // What nobody would carry out must not be lost without a word.
  reasons.push(...[...late.keys()].filter((name) => !modules.includes(name)).map(withoutObject));
  const bound = bindSymbols(object, arch, input.sources, madeHere, attempt);
  reasons.push(...unsupportedRelocations(object, arch, bound));
  throwReasons(reasons);

  addStubsAndTable(arch, input.sources.image, object, objects);
  finishModule(object, input.name, arch, input.abi, input.sources.image, bound);
  return { bytes: writeElf(object), redirects: objects.flatMap(({ redirects }) => redirects), bound };
}

/** Takes out what is not loaded, Kbuild's own call-site table, and the symbols that nothing needs any more. */
export function stripObject(object: ElfModel): void {
  const stays = (s: Section) => (s.flags & SHF_ALLOC) !== 0n && s.name !== '__mcount_loc';
  removeSections(object, (s) => !stays(s.relocationTable?.target ?? s));
  const kept = new Set(object.sections);
  const used = new Set(object.sections.flatMap((s) => s.relocations.map((r) => r.symbol)));
  object.symbols = object.symbols.filter((symbol) =>
    isSection(symbol.place) ? kept.has(symbol.place) : symbol.place !== 'undefined' || used.has(symbol),
  );
}

/**
 * The objects of a patch in the order in which they are first named, '' for the kernel itself; then those of which it only has
 * symbols.
 */
const objectsOf = ({ replacements, object }: PatchInput): string[] => [
  ...new Set([...replacements.map(({ module = '' }) => module), ...lateModules(object.symbols)]),
];

/**
 * What the fix uses of the modules that it patches: what neither the kernel nor the core exports, and one of them has. A fix
 * is written like the module's own code, so its names mean the module's before they mean what vmlinux keeps to itself. They
 * are given the names that `late-symbols.ts` knows.
 */
export function nameSymbolsOfTargets(
  { arch, object, sources, targets = new Map() }: PatchInput,
  attempt: Attempt,
): void {
  const { core, image } = sources;
  const supplied = [...madeHere, ...arch.loaderSymbols];
  for (const symbol of object.symbols) {
    const { name, place } = symbol;
    if (place !== 'undefined' || supplied.includes(name) || core.has(name) || image.exports.has(name)) continue;
    const owners = [...targets.values()].filter(({ model }) =>
      model.symbols.some((each) => each.name === name && each.place !== 'undefined'),
    );
    const [owner, ...others] = owners.map((target) => target.name);
    if (owner === undefined) continue;
    attempt(() => {
      const also = [...others, ...(symbolsNamed(image.kallsyms, name).length > 0 ? ['vmlinux'] : [])];
      if (also.length > 0) {
        throw reasonError(
          'name-ambiguous',
          name,
          `${[owner, ...also].join(' and ')} have symbols of this name, and none of them is exported`,
          'put a copy of it into the fix, or reach it through another function',
        );
      }
      symbol.name = lateSymbolName(owner, name);
    });
  }
}

const withoutObject = (name: string): Reason => ({
  code: 'target-missing',
  place: name,
  message: 'the fix uses symbols of this module and replaces none of its functions, so nobody would wait for it',
  remedy: 'replace a function of the module too, or put a copy of what is used into the fix',
});

function redirect(
  input: PatchInput,
  code: ModuleCode,
  replacement: Replacement,
  symbol: ElfSymbol | undefined,
): LinkedRedirect {
  const { newName, oldName, sympos, module = '', isSameCopy = false } = replacement;
  const refusal = input.leaveOut ? undefined : refusalByName(oldName, isSameCopy);
  if (refusal) throw refusal;
  const { arch, sources, callSites, selfModified } = input;
  const target = module === '' ? undefined : targetOf(module, input.targets ?? new Map());
  const { way = 'ftrace' } = input;
  const entry = entryWayFor(arch, way, target !== undefined);
  // Of a function that is left out nobody reads a remedy.
  const other = input.leaveOut
    ? undefined
    : otherWay({ arch, callSites, image: sources.image }, way, target !== undefined);
  const old = target
    ? findTargetFunction(target, oldName, sympos, entry, other)
    : findOldFunction(sources.image, callSites, selfModified, oldName, sympos, entry, other);
  if (!symbol) throw reasonError('compile-failed', newName, 'the compiled fix does not hold this function');
  return makeRedirect(arch, old, sympos, symbol, newName, code);
}
