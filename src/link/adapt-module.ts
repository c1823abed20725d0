// From a standard livepatch module (kernel samples, selftests) to one that a kernel without LIVEPATCH loads.
//
// The module is linked already, by the kernel's own build against our <linux/livepatch.h>. What it lacks is what only a linker
// that knows the kernel can give: a stub for each function that it replaces and the table that tells the core of them,
// addresses for symbols that are not exported, and recipes for those of modules. `livepatch=Y` in its modinfo, which such a
// kernel refuses, becomes `livepatch:=Y`, which kmod takes for the same and the kernel for nothing. All else stays.

import type { Architecture, CallSite, SelfModified } from '../arch/arch.ts';
import { SHF_ALLOC } from '../elf/constants.ts';
import { findDangling, findSection, isSection, removeSections, setData, writeElf } from '../elf/elf.ts';
import type { ElfModel, Section } from '../elf/model.ts';
import { readModinfo } from '../kernel/modinfo.ts';
import type { ModuleAbi } from '../kernel/module-abi.ts';
import { ModuleCode } from '../kernel/module-code.ts';
import { findOldFunction } from '../kernel/old-function.ts';
import { patchSection, patchTableSymbol, type Way } from '../kernel/patch-module.ts';
import { refusalByName } from '../kernel/refused-names.ts';
import { checkModuleIsFor, findTargetFunction, moduleNameOf, type TargetModule } from '../kernel/target-module.ts';
import { collectReasons, type Reason, reasonError, throwReasons } from '../reason.ts';
import { type Binding, bindSymbols, coreModule, type SymbolSources, unsupportedRelocations } from './bind-symbols.ts';
import { addLooseSymbols, versionsSection } from './finish-module.ts';
import type { KlpFunc, KlpObject, KlpPatch } from './klp-patch.ts';
import { bindLate, lateModules, targetOf } from './late-symbols.ts';
import { modinfo, readVersions } from './module-sections.ts';
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

export interface AdaptInput {
  readonly arch: Architecture;
  readonly sources: SymbolSources;
  readonly abi: ModuleAbi;
  readonly callSites: readonly CallSite[];
  readonly selfModified: SelfModified;
  /** The module. It is changed. */
  readonly module: ElfModel;
  /** What messages call it. */
  readonly file: string;
  /** What it says of itself, if it is a patch. */
  readonly patch: KlpPatch | undefined;
  /** How functions are redirected; at their call sites if it is left out. */
  readonly way?: Way;
  /** The modules that it patches or refers to, by name. */
  readonly targets: ReadonlyMap<string, TargetModule>;
}

export interface AdaptedModule {
  readonly name: string;
  /** Not signed yet. */
  readonly bytes: Uint8Array;
  /** Symbols bound to addresses or left to the loader, by name. */
  readonly bound: ReadonlyMap<string, Binding>;
}

/** Refuses what is no module for this kernel, or was made by Suture: `wrong-kernel`, `already-adapted`. */
export function checkAdaptable(module: ElfModel, arch: Architecture, abi: ModuleAbi, file: string): void {
  checkModuleIsFor(module, arch, abi, file);
  if (findSection(module, patchSection)) {
    throw reasonError(
      'already-adapted',
      file,
      `it has the section ${patchSection}, so Suture made it`,
      'load it as it is; `suture info` says what is in it',
    );
  }
}

/** The modules that must be there to adapt a module: those that it patches, and those whose symbols it has. */
export function neededModules(module: ElfModel, patch: KlpPatch | undefined): string[] {
  const patched = (patch?.objects ?? []).flatMap((object) => object.module ?? []);
  return [...new Set([...patched, ...lateModules(module.symbols)])];
}

/** Adapts the module. Throws `ReasonError` with every reason found, not only the first. */
export function adaptModule(input: AdaptInput): AdaptedModule {
  const { arch, module, patch, targets, sources } = input;
  const { reasons, attempt } = collectReasons();

  dropDebugInformation(module);
  const late = bindLate(module, arch, sources.image, targets, attempt);
  const code = new ModuleCode(arch, module);
  const objects = (patch?.objects ?? []).map((object): LinkedObject => {
    const target = object.module === undefined ? undefined : attempt(() => targetOf(object.module!, targets));
    const wanted = object.module === undefined || target ? object.funcs : [];
    const redirects = wanted.flatMap((func) => {
      const made = attempt(() => redirect(input, code, func, target));
      return made ? [made] : [];
    });
    reasons.push(...replacedTwice(redirects));
    const recipes = late.get(object.module ?? '') ?? [];
    late.delete(object.module ?? '');
    return { module: target, redirects, recipes };
  });
  for (const name of late.keys()) reasons.push(withoutObject(name));
  reasons.push(...objectTwice(patch?.objects ?? []));
  const count = (of: (object: LinkedObject) => readonly unknown[]) => objects.reduce((sum, o) => sum + of(o).length, 0);
  reasons.push(
    ...beyondLimits({
      objects: objects.length,
      redirects: count(({ redirects }) => redirects),
      recipes: count(({ recipes }) => recipes),
    }),
  );

  const known = readVersions(arch, findSection(module, '__versions')?.data ?? new Uint8Array());
  const withModules = { ...sources, otherModules: exportsOfOthers(module, known) };
  const bound = bindSymbols(module, arch, withModules, patch ? [patchTableSymbol] : [], attempt);
  reasons.push(...unsupportedRelocations(module, arch, bound), ...otherVersions(bound, known, input.file));
  throwReasons(reasons);

  if (patch) addStubsAndTable(arch, sources.image, module, objects);
  replaceVersions(input, bound);
  replaceModinfo(module, bound);
  addLooseSymbols(module);
  checkWhole(module, input.file);
  return { name: moduleNameOf(module, input.abi) ?? '', bytes: writeElf(module), bound };
}

/** Refuses a module that refers to what is not in it any more, as only a damaged one does: `elf-malformed`. */
export function checkWhole(module: ElfModel, file: string): void {
  const dangling = findDangling(module);
  if (!dangling) return;
  throw reasonError(
    'elf-malformed',
    `${file}: ${dangling.from}`,
    `it refers to ${dangling.to}, which is taken out of the module or made anew`,
    'make the module anew: it is damaged, or it was made to mislead',
  );
}

function redirect(
  input: AdaptInput,
  code: ModuleCode,
  func: KlpFunc,
  target: TargetModule | undefined,
): LinkedRedirect {
  const { arch, sources, callSites, selfModified } = input;
  const { oldName, sympos, newFunction } = func;
  const refusal = refusalByName(oldName);
  if (refusal) throw refusal;
  const { way = 'ftrace' } = input;
  const entry = entryWayFor(arch, way, target !== undefined);
  const other = otherWay({ arch, callSites, image: sources.image }, way, target !== undefined);
  const old = target
    ? findTargetFunction(target, oldName, sympos, entry, other)
    : findOldFunction(sources.image, callSites, selfModified, oldName, sympos, entry, other);
  return makeRedirect(arch, old, sympos, newFunction, newFunction.name, code);
}

const withoutObject = (name: string): Reason => ({
  code: 'klp-patch-unknown',
  place: name,
  message: 'the module has symbols of it, but its klp_patch has no object of this name, so nobody would bind them',
  remedy: 'add an object of this name to klp_patch.objs; its list of functions may be empty',
});

function objectTwice(objects: readonly KlpObject[]): Reason[] {
  const names = objects.map(({ module }) => module ?? 'vmlinux');
  return [...new Set(names.filter((name, i) => names.indexOf(name) !== i))].map((name) => ({
    code: 'replaced-twice',
    place: name,
    message: 'klp_patch.objs names this object more than once',
    remedy: 'put its functions into one list',
  }));
}

/** What the module has a version of and yet neither the kernel nor the core exports: another module does, that it depends on. */
export function exportsOfOthers(module: ElfModel, known: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  const others = dependencies(module).filter((name) => name !== coreModule);
  return others.length > 0 ? known : new Map();
}

const dependencies = (module: ElfModel): string[] =>
  (new Map(readModinfo(findSection(module, '.modinfo')!.data)).get('depends') ?? '').split(',').filter(Boolean);

/** A symbol's version says how what it takes and gives is laid out; the module must have been compiled for the same. */
export function otherVersions(
  bound: ReadonlyMap<string, Binding>,
  known: ReadonlyMap<string, number>,
  file: string,
): Reason[] {
  return [...bound].flatMap(([name, binding]): Reason[] => {
    const compiled = known.get(name);
    if (binding.kind !== 'exported' || binding.crc === undefined || compiled === undefined) return [];
    if (compiled === binding.crc) return [];
    const whose = binding.module === coreModule ? 'the core' : 'this kernel';
    return [
      {
        code: 'wrong-kernel',
        place: `${file}: ${name}`,
        message: `it was compiled for version 0x${compiled.toString(16)} of it, ${whose} has 0x${binding.crc.toString(16)}`,
        remedy: 'compile it again with the headers of this kernel and of this core',
      },
    ];
  });
}

export function replaceVersions({ arch, abi, module, sources }: AdaptInput, bound: ReadonlyMap<string, Binding>): void {
  dropSection(module, '__versions');
  const section = versionsSection(arch, abi, sources.image, bound);
  if (section) module.sections.push(section);
}

/** What debuggers read refers to everything, also to what is made anew here; the kernel never loads it. */
export function dropDebugInformation(module: ElfModel): void {
  const isDropped = ({ name, flags }: Section) => (flags & SHF_ALLOC) === 0n && /^\.(debug_|BTF|ctf)/.test(name);
  module.symbols = module.symbols.filter(({ place }) => !isSection(place) || !isDropped(place));
  removeSections(module, isDropped);
}

/** The modinfo with livepatch's key renamed, and with what binding has added: the core, and namespaces. */
function replaceModinfo(module: ElfModel, bound: ReadonlyMap<string, Binding>): void {
  const section = findSection(module, '.modinfo')!;
  const entries = readModinfo(section.data).map(
    ([key, value]) => [key === 'livepatch' ? 'livepatch:' : key, value] as const,
  );
  const usesCore = [...bound.values()].some((b) => b.kind === 'exported' && b.module === coreModule);
  const depends = new Set([...dependencies(module), ...(usesCore ? [coreModule] : [])]);
  const has = new Set(entries.filter(([key]) => key === 'import_ns').map(([, value]) => value));
  const namespaces = new Set([...bound.values()].flatMap((b) => (b.kind === 'exported' ? [b.namespace] : [])));
  const missing = [...namespaces].filter((namespace) => namespace !== '' && !has.has(namespace)).sort();
  dropSymbols(module, section);
  setData(
    section,
    modinfo([
      ...missing.map((namespace) => ['import_ns', namespace] as const),
      ...entries.filter(([key]) => key !== 'depends'),
      ['depends', [...depends].join(',')],
    ]),
  );
}

function dropSection(module: ElfModel, name: string): void {
  const section = findSection(module, name);
  if (!section) return;
  dropSymbols(module, section);
  removeSections(module, (each) => each === section);
}

/** The symbols of a section that is made anew: nothing refers to them, or their places would have to be known. */
function dropSymbols(module: ElfModel, section: ReturnType<typeof findSection>): void {
  const referred = module.sections
    .flatMap(({ relocations }) => relocations)
    .find(({ symbol }) => isSection(symbol?.place) && symbol.place === section);
  if (referred) {
    throw reasonError(
      'relocation-unsupported',
      section!.name,
      'something in the module refers to it, and its contents change',
      'leave pointers to modinfo and versions out of the module',
    );
  }
  module.symbols = module.symbols.filter(({ place }) => place !== section);
}
