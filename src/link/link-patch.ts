// From a compiled fix to a loadable live patch: what modpost and ld would do, and what makes it a patch.
//
// The object comes from the kernel's own Kbuild. Debug sections and what Kbuild's tools added for ftrace are taken out;
// undefined symbols are bound; stubs, the patch table, the table of call sites, `struct module`, modinfo and versions are
// put in. Same input, same bytes.

import type { Architecture, CallSite, SelfModified, Stub } from '../arch/arch.ts';
import { writeElf } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';
import type { LinkAddress } from '../elf/units.ts';
import type { ModuleAbi } from '../kernel/module-abi.ts';
import { findOldFunction, type OldFunction, wordsOf } from '../kernel/old-function.ts';
import { patchSection, patchTableSymbol, wayFtrace, writePatchTable } from '../kernel/patch-module.ts';
import { type Reason, ReasonError, reasonError } from '../reason.ts';
import { type Binding, bindSymbol, coreModule, type SymbolSources } from './bind-symbols.ts';
import { callSiteTable, dataSection, modinfo, putPointer, thisModule, versions } from './module-sections.ts';

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
  readonly replacements: readonly { readonly newName: string; readonly oldName: string; readonly sympos: number }[];
}

export interface LinkedPatch {
  readonly bytes: Uint8Array;
  readonly redirects: readonly {
    readonly old: OldFunction;
    readonly newName: string;
    readonly stub: Stub;
  }[];
  /** Symbols bound to addresses, by name. */
  readonly bound: ReadonlyMap<string, Binding>;
}

const SHF_ALLOC = 2n;
const STB_LOCAL = 0;
const STB_GLOBAL = 1;
const STT_OBJECT = 1;
const STT_FUNC = 2;
const STT_SECTION = 3;

/** Sections outside memory that a module keeps: what objdump and ld want to see; no path of the build is in them. */
const keptNotes = ['.comment', '.note.GNU-stack', '.ARM.attributes'];

/** Links the patch. Throws `ReasonError` with every reason found, not only the first. */
export function linkPatch(input: PatchInput): LinkedPatch {
  const { arch, object } = input;
  const reasons: Reason[] = [];
  const attempt = <T>(work: () => T): T | undefined => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof ReasonError)) throw error;
      reasons.push(...error.reasons);
      return undefined;
    }
  };

  stripObject(object);
  const redirects = input.replacements.flatMap((r) => {
    const made = attempt(() => redirect(input, r));
    return made ? [made] : [];
  });
  const bound = bindAll(input, attempt);
  checkRelocations(input, bound, reasons);
  const [first, ...rest] = reasons;
  if (first) throw new ReasonError(first, ...rest);

  addStubsAndTable(input, redirects);
  addCallSites(arch, object);
  addModuleSections(input, bound);
  addLooseSymbols(object);
  return { bytes: writeElf(object), redirects, bound };
}

/** Takes out debug sections, Kbuild's own call-site table, and the symbols that nothing needs any more. */
function stripObject(object: ElfModel): void {
  object.sections = object.sections.filter(
    (s) => ((s.flags & SHF_ALLOC) !== 0n || keptNotes.includes(s.name)) && s.name !== '__mcount_loc',
  );
  const kept = new Set(object.sections);
  const used = new Set(object.sections.flatMap((s) => s.relocations.map((r) => r.symbol)));
  object.symbols = object.symbols.filter((symbol) =>
    typeof symbol.place === 'object' && 'data' in symbol.place
      ? kept.has(symbol.place)
      : symbol.place !== 'undefined' || used.has(symbol),
  );
}

function redirect(input: PatchInput, replacement: PatchInput['replacements'][number]) {
  const { newName, oldName, sympos } = replacement;
  const old = findOldFunction(input.sources.image, input.callSites, input.selfModified, oldName, sympos);
  const symbol = input.object.symbols.find((s) => s.name === newName && s.type === STT_FUNC);
  const section = symbol?.place;
  if (!symbol || typeof section !== 'object' || !('data' in section)) {
    throw reasonError('compile-failed', newName, 'the compiled fix does not hold this function');
  }
  const start = Number(symbol.value);
  const code = wordsOf(section.data.subarray(start, start + Number(symbol.size)));
  return { old, newName, symbol, stub: input.arch.ftraceStub(old, old.site, code) };
}

function bindAll(input: PatchInput, attempt: <T>(work: () => T) => T | undefined): Map<string, Binding> {
  const bound = new Map<string, Binding>();
  for (const symbol of input.object.symbols) {
    if (symbol.place !== 'undefined' || input.arch.loaderSymbols.includes(symbol.name)) continue;
    if (symbol.name === patchTableSymbol || symbol.name === '__this_module') continue;
    const binding = attempt(() => bindSymbol(input.sources, symbol.name));
    if (!binding) continue;
    bound.set(symbol.name, binding);
    if (binding.kind === 'exported') continue;
    symbol.value = binding.address;
    symbol.place = binding.kind === 'function' ? input.arch.boundFunctionPlace : 'absolute';
  }
  return bound;
}

/** Every relocation must be one that the kernel's loader takes, and the loader must never follow a bound address itself. */
function checkRelocations(input: PatchInput, bound: ReadonlyMap<string, Binding>, reasons: Reason[]): void {
  for (const section of input.object.sections) {
    if ((section.flags & SHF_ALLOC) === 0n) continue;
    for (const relocation of section.relocations) {
      const kind = input.arch.relocationKind(relocation.type);
      const place = `${section.name}+0x${relocation.offset.toString(16)}`;
      const name = relocation.symbol?.name ?? '';
      if (!kind?.loadable) {
        reasons.push({
          code: 'relocation-unsupported',
          place,
          message: `the kernel's module loader does not take ${kind?.name ?? `relocation type ${relocation.type}`} (against ${name})`,
          remedy: "compile the fix with the kernel's own flags for modules",
        });
      }
      const binding = bound.get(name);
      if (section.name.startsWith('__') && binding && binding.kind !== 'exported') {
        reasons.push({
          code: 'relocation-unsupported',
          place,
          message: `the kernel's loader would follow ${name} in ${section.name} before the patch could be checked`,
          remedy: 'a jump label or tracepoint that is not exported cannot be used in a fix',
        });
      }
    }
  }
}

function addStubsAndTable(
  input: PatchInput,
  redirects: readonly { old: OldFunction; symbol: ElfSymbol; stub: Stub }[],
): void {
  const { arch, object, sources } = input;
  const stubs = arch.layOutStubs(redirects.map((r) => r.stub));
  object.sections.push(stubs.section, ...stubs.companions);
  const stubSymbols = redirects.map((r, i) =>
    define(object, {
      name: `suture_stub_${r.old.name}`,
      value: BigInt(stubs.offsets[i]!),
      size: BigInt(4 * r.stub.words.length),
      binding: STB_LOCAL,
      type: STT_FUNC,
      place: stubs.section,
    }),
  );
  redirects.forEach((r, i) => {
    for (const relocation of r.stub.relocations) {
      stubs.section.relocations.push({
        offset: stubs.offsets[i]! + relocation.offset,
        type: relocation.type,
        symbol: r.symbol,
        addend: arch.elf.rela ? relocation.addend : undefined,
      });
    }
  });

  const word = (arch.elf.class / 8) as 4 | 8;
  const { data, pointers } = writePatchTable(
    {
      buildId: sources.image.buildId,
      redirects: redirects.map(({ old, stub }) => ({
        oldName: old.name,
        oldAddress: old.address,
        oldWords: old.words,
        masked: old.masked,
        ip: old.site,
        way: wayFtrace,
        stubSize: 4 * stub.words.length,
      })),
    },
    word,
  );
  const section = dataSection(patchSection, data, 8);
  object.sections.push(section);
  const table = object.symbols.find((s) => s.name === patchTableSymbol && s.place === 'undefined');
  const itself = { name: patchTableSymbol, value: 0n, binding: STB_GLOBAL, type: STT_OBJECT, place: section };
  const symbol = table ? Object.assign(table, itself) : define(object, { ...itself, size: BigInt(data.length) });
  symbol.size = BigInt(data.length);
  for (const { offset, to } of pointers) {
    if (to.kind === 'section') putPointer(arch, section, offset, symbol, to.offset);
    else
      putPointer(
        arch,
        section,
        offset,
        (to.kind === 'stub' ? stubSymbols : redirects.map((r) => r.symbol))[to.redirect]!,
      );
  }
}

function addCallSites(arch: Architecture, object: ElfModel): void {
  const sites = object.sections.flatMap((section) => {
    const offsets = arch.moduleCallSites(section);
    if (offsets.length === 0) return [];
    const symbol = sectionSymbol(object, section);
    return offsets.map((offset) => ({ symbol, offset }));
  });
  if (sites.length > 0) object.sections.push(callSiteTable(arch, sites));
}

function addModuleSections(input: PatchInput, bound: ReadonlyMap<string, Binding>): void {
  const { arch, object, abi, sources } = input;
  const find = (name: string) => object.symbols.find((s) => s.name === name && s.place !== 'undefined');

  const namespaces = new Set<string>();
  const crcs = new Map<string, number>();
  const layout = sources.image.exports.get('module_layout')?.crc;
  if (layout !== undefined) crcs.set('module_layout', layout);
  for (const [name, binding] of [...bound].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (binding.kind !== 'exported') continue;
    if (binding.crc !== undefined) crcs.set(name, binding.crc);
    if (binding.namespace) namespaces.add(binding.namespace);
  }
  if (abi.modversions && crcs.size > 0) object.sections.push(versions(arch, crcs));

  let info = object.sections.find((s) => s.name === '.modinfo');
  if (!info) {
    info = dataSection('.modinfo', new Uint8Array(), 1);
    object.sections.push(info);
  }
  const added = modinfo([
    ...[...namespaces].sort().map((namespace) => ['import_ns', namespace] as const),
    ['depends', coreModule],
    ['name', input.name],
    ['vermagic', abi.vermagic],
  ]);
  info.data = Uint8Array.of(...info.data, ...added);
  info.size = info.data.length;

  const section = thisModule(arch, abi, input.name, find('init_module'), find('cleanup_module'));
  object.sections.push(section);
  const own = object.symbols.find((s) => s.name === '__this_module');
  if (own) Object.assign(own, { place: section, value: 0n, size: BigInt(section.size), type: STT_OBJECT });
  else {
    define(object, {
      name: '__this_module',
      value: 0n,
      size: BigInt(section.size),
      binding: STB_GLOBAL,
      type: STT_OBJECT,
      place: section,
    });
  }

  for (const wanted of abi.requiredSections) {
    if (object.sections.some((s) => s.name === wanted.name)) continue;
    object.sections.push({
      ...dataSection(wanted.name, new Uint8Array(wanted.type === 8 ? 0 : wanted.size), wanted.align),
      type: wanted.type,
      flags: wanted.flags,
      size: wanted.size,
    });
  }
  object.header.flags = abi.headerFlags;
}

/** Architectures make symbols of their own for unwind tables; whatever a relocation refers to must be in the table. */
function addLooseSymbols(object: ElfModel): void {
  const known = new Set(object.symbols);
  for (const section of object.sections) {
    for (const { symbol } of section.relocations) {
      if (!symbol || known.has(symbol)) continue;
      known.add(symbol);
      object.symbols.push(symbol);
    }
  }
}

function sectionSymbol(object: ElfModel, section: Section): ElfSymbol {
  return (
    object.symbols.find((s) => s.type === STT_SECTION && s.place === section) ??
    define(object, { name: '', value: 0n, size: 0n, binding: STB_LOCAL, type: STT_SECTION, place: section })
  );
}

function define(object: ElfModel, symbol: Omit<ElfSymbol, 'other'>): ElfSymbol {
  const made = { ...symbol, other: 0 };
  object.symbols.push(made);
  return made;
}
