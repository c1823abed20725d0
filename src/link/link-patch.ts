// From a compiled fix to a loadable live patch: what modpost and ld would do, and what makes it a patch.
//
// The object comes from the kernel's own Kbuild. Debug sections and what Kbuild's tools added for ftrace are taken out;
// undefined symbols are bound; stubs, the patch table, the table of call sites, `struct module`, modinfo and versions are
// put in. Same input, same bytes.

import type { Architecture, CallSite, SelfModified, Stub } from '../arch/arch.ts';
import { SHF_ALLOC, STB_LOCAL, STT_FUNC } from '../elf/constants.ts';
import { isSection, newSymbol, writeElf } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Section } from '../elf/model.ts';
import type { LinkAddress } from '../elf/units.ts';
import type { ModuleAbi } from '../kernel/module-abi.ts';
import { findOldFunction, type OldFunction, wordsOf } from '../kernel/old-function.ts';
import { patchSection, patchTableSymbol, tableLimits, wayFtrace, writePatchTable } from '../kernel/patch-module.ts';
import { refusalByName } from '../kernel/refused-names.ts';
import { type Reason, ReasonError, reasonError } from '../reason.ts';
import { type Binding, bindSymbols, type SymbolSources, unsupportedRelocations } from './bind-symbols.ts';
import { checkFix } from './check-fix.ts';
import { defineSymbol, finishModule, thisModuleSymbol } from './finish-module.ts';
import { dataSection, putPointer } from './module-sections.ts';

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
  /**
   * For a proof of functions, which nobody will load: is told of each that cannot be redirected, and it is left out. What
   * its name alone would refuse is not asked. Without this, one such function refuses the patch.
   */
  readonly leaveOut?: (replacement: Replacement, reasons: readonly Reason[]) => void;
}

/** Which function of the object takes the place of which one of the kernel. */
export interface Replacement {
  readonly newName: string;
  readonly oldName: string;
  readonly sympos: number;
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
  reasons.push(...checkFix(object), ...beyondLimits(input.replacements));
  const newFunctions = new Map(
    object.symbols.filter((s) => s.type === STT_FUNC && isSection(s.place)).map((s) => [s.name, s]),
  );
  const redirects = input.replacements.flatMap((r) => {
    const before = reasons.length;
    const made = attempt(() => redirect(input, r, newFunctions.get(r.newName)));
    if (!made && input.leaveOut) input.leaveOut(r, reasons.splice(before));
    return made ? [made] : [];
  });
  reasons.push(...replacedTwice(redirects));
  const bound = bindSymbols(object, arch, input.sources, [patchTableSymbol, thisModuleSymbol], attempt);
  reasons.push(...unsupportedRelocations(object, arch, bound));
  const [first, ...rest] = reasons;
  if (first) throw new ReasonError(first, ...rest);

  addStubsAndTable(input, redirects);
  finishModule(object, input.name, arch, input.abi, input.sources.image, bound);
  return { bytes: writeElf(object), redirects, bound };
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

/** What the core would refuse (SUTURE_MAX_… in core/include/suture/patch-table.h), said before there is a module. */
function beyondLimits(replacements: PatchInput['replacements']): Reason[] {
  const reasons: Reason[] = [];
  if (replacements.length > tableLimits.redirects) {
    reasons.push({
      code: 'patch-too-large',
      place: `${replacements.length} functions`,
      message: `a patch can replace ${tableLimits.redirects} at most`,
      remedy: 'make several patches of it',
    });
  }
  return reasons;
}

/** Names may be aliases of one function, as those of a system call are; what counts is where they lead. */
function replacedTwice(redirects: readonly { old: OldFunction; newName: string }[]): Reason[] {
  const byAddress = new Map<LinkAddress, (typeof redirects)[number]>();
  return redirects.flatMap((each): Reason[] => {
    const { old, newName } = each;
    const other = byAddress.get(old.address);
    if (!other) {
      byAddress.set(old.address, each);
      return [];
    }
    const also = other.old.name === old.name ? '' : ` (the same function as ${other.old.name})`;
    return [
      {
        code: 'replaced-twice',
        place: old.name,
        message: `both ${other.newName} and ${newName} replace it${also}`,
        remedy: 'let one function of the fix replace it',
      },
    ];
  });
}

function redirect(input: PatchInput, replacement: Replacement, symbol: ElfSymbol | undefined) {
  const { newName, oldName, sympos } = replacement;
  const refusal = input.leaveOut ? undefined : refusalByName(oldName);
  if (refusal) throw refusal;
  const old = findOldFunction(input.sources.image, input.callSites, input.selfModified, oldName, sympos);
  if (!symbol || !isSection(symbol.place)) {
    throw reasonError('compile-failed', newName, 'the compiled fix does not hold this function');
  }
  if (symbol.place.name.startsWith('.init')) {
    throw reasonError(
      'init-text',
      newName,
      'the new function is initialisation code, whose memory the kernel gives back once the patch is loaded',
      'take __init off it',
    );
  }
  if (4 * old.words.length > tableLimits.oldSize) {
    throw reasonError(
      'patch-too-large',
      oldName,
      `the old function has ${4 * old.words.length} bytes; the core compares ${tableLimits.oldSize} at most`,
    );
  }
  if (2 * old.masked.length > old.words.length) {
    throw reasonError(
      'self-modified-unknown',
      oldName,
      `the kernel rewrites ${old.masked.length} of its ${old.words.length} words, so it could not be told from another function`,
      'patch its callers instead',
    );
  }
  const start = Number(symbol.value);
  const code = wordsOf(symbol.place.data.subarray(start, start + Number(symbol.size)));
  return { old, sympos, newName, symbol, stub: input.arch.ftraceStub(old, old.site, code) };
}

function addStubsAndTable(
  input: PatchInput,
  redirects: readonly { old: OldFunction; sympos: number; symbol: ElfSymbol; stub: Stub }[],
): void {
  const { arch, object, sources } = input;
  const stubs = arch.layOutStubs(redirects.map((r) => r.stub));
  object.sections.push(stubs.section, ...stubs.companions);
  const stubSymbols = redirects.map(({ old, stub }, i) =>
    newSymbol(`suture_stub_${old.name}`, {
      value: BigInt(stubs.offsets[i]!),
      size: BigInt(4 * stub.words.length),
      binding: STB_LOCAL,
      type: STT_FUNC,
      place: stubs.section,
    }),
  );
  object.symbols.push(...stubSymbols);
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
      objects: [
        {
          module: undefined,
          redirects: redirects.map(({ old, sympos, stub }) => ({
            oldName: old.name,
            oldAddress: old.address,
            oldSympos: sympos,
            oldWords: old.words,
            masked: old.masked,
            site: Number(old.site - old.address),
            way: wayFtrace,
            stubSize: 4 * stub.words.length,
          })),
          recipes: [],
        },
      ],
    },
    word,
  );
  const section = dataSection(patchSection, data, 8);
  object.sections.push(section);
  const table = defineSymbol(object, patchTableSymbol, section);
  for (const { offset, to } of pointers) {
    if (to.kind === 'section') putPointer(arch, section, offset, table, to.offset);
    else if (to.kind === 'stub') putPointer(arch, section, offset, stubSymbols[to.redirect]!);
    else if (to.kind === 'new-function') putPointer(arch, section, offset, redirects[to.redirect]!.symbol);
  }
}
