// From a compiled fix to a loadable live patch: what modpost and ld would do, and what makes it a patch.
//
// The object comes from the kernel's own Kbuild. Debug sections and what Kbuild's tools added for ftrace are taken out;
// undefined symbols are bound; stubs, the patch table, the table of call sites, `struct module`, modinfo and versions are
// put in. Same input, same bytes.

import type { Architecture, CallSite, SelfModified } from '../arch/arch.ts';
import { SHF_ALLOC, STT_FUNC } from '../elf/constants.ts';
import { isSection, writeElf } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';
import type { ModuleAbi } from '../kernel/module-abi.ts';
import { findOldFunction } from '../kernel/old-function.ts';
import { patchTableSymbol } from '../kernel/patch-module.ts';
import { refusalByName } from '../kernel/refused-names.ts';
import { findTargetFunction, type TargetModule } from '../kernel/target-module.ts';
import { type Reason, ReasonError, reasonError } from '../reason.ts';
import { type Binding, bindSymbols, type SymbolSources, unsupportedRelocations } from './bind-symbols.ts';
import { checkFix } from './check-fix.ts';
import { finishModule, thisModuleSymbol } from './finish-module.ts';
import {
  addStubsAndTable,
  beyondLimits,
  type LinkedObject,
  type LinkedRedirect,
  makeRedirect,
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
}

export interface LinkedPatch {
  readonly bytes: Uint8Array;
  readonly redirects: readonly LinkedRedirect[];
  /** Symbols bound to addresses, by name. */
  readonly bound: ReadonlyMap<string, Binding>;
}

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
  const modules = objectsOf(input.replacements);
  const counts = { objects: modules.length, redirects: input.replacements.length, recipes: 0 };
  reasons.push(...checkFix(object), ...beyondLimits(counts));
  const newFunctions = new Map(
    object.symbols.filter((s) => s.type === STT_FUNC && isSection(s.place)).map((s) => [s.name, s]),
  );
  const objects = modules.map((name): LinkedObject => {
    const redirects = input.replacements
      .filter(({ module = '' }) => module === name)
      .flatMap((r) => {
        const before = reasons.length;
        const made = attempt(() => redirect(input, r, newFunctions.get(r.newName)));
        if (!made && input.leaveOut) input.leaveOut(r, reasons.splice(before));
        return made ? [made] : [];
      });
    reasons.push(...replacedTwice(redirects));
    return { module: input.targets?.get(name), redirects, recipes: [] };
  });
  const bound = bindSymbols(object, arch, input.sources, [patchTableSymbol, thisModuleSymbol], attempt);
  reasons.push(...unsupportedRelocations(object, arch, bound));
  const [first, ...rest] = reasons;
  if (first) throw new ReasonError(first, ...rest);

  addStubsAndTable(arch, input.sources.image, object, objects);
  finishModule(object, input.name, arch, input.abi, input.sources.image, bound);
  return { bytes: writeElf(object), redirects: objects.flatMap(({ redirects }) => redirects), bound };
}

/** Takes out what is not loaded, Kbuild's own call-site table, and the symbols that nothing needs any more. */
function stripObject(object: ElfModel): void {
  const stays = (s: Section) => (s.flags & SHF_ALLOC) !== 0n && s.name !== '__mcount_loc';
  object.sections = object.sections.filter((s) => stays(s.relocationTable?.target ?? s));
  const kept = new Set(object.sections);
  const used = new Set(object.sections.flatMap((s) => s.relocations.map((r) => r.symbol)));
  object.symbols = object.symbols.filter((symbol) =>
    isSection(symbol.place) ? kept.has(symbol.place) : symbol.place !== 'undefined' || used.has(symbol),
  );
}

/** The objects of a patch in the order in which they are first named; '' is the kernel itself. */
const objectsOf = (replacements: readonly Replacement[]): string[] => [
  ...new Set(replacements.map(({ module = '' }) => module)),
];

function redirect(input: PatchInput, replacement: Replacement, symbol: ElfSymbol | undefined): LinkedRedirect {
  const { newName, oldName, sympos, module = '' } = replacement;
  const refusal = input.leaveOut ? undefined : refusalByName(oldName);
  if (refusal) throw refusal;
  const { arch, sources, callSites, selfModified } = input;
  const target = input.targets?.get(module);
  if (module !== '' && !target) throw reasonError('bug', module, 'this target was not read');
  const old = target
    ? findTargetFunction(target, oldName, sympos)
    : findOldFunction(sources.image, callSites, selfModified, oldName, sympos);
  if (!symbol) throw reasonError('compile-failed', newName, 'the compiled fix does not hold this function');
  return makeRedirect(arch, old, sympos, symbol, newName);
}
