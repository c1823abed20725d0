// The words that a ppc64le kernel rewrites in its own text. One image runs on every machine from POWER8 to POWER10, bare
// or as a guest, and makes itself fit when it boots: what a processor lacks becomes nops, what it does better takes the
// place of what it does worse, and barriers against speculation come and go with the firmware's word. It knows the
// places from tables, which the image holds, and so do we (all of Linux 6.1):
//
// - feature sections (arch/powerpc/include/asm/feature-fixups.h, lib/feature-fixups.c): a range of words that one of two
//   sequences fills, depending on the features of the processor, the MMU or the firmware;
// - barriers and cache flushes (same files): so many words at each place;
// - jump labels (arch/powerpc/kernel/jump_label.c): one word that is a nop or a branch;
// - patch sites (asm/code-patching.h): a symbol `patch__…` whose word says where its place is;
// - the two calls in ftrace's hook, and the trampolines and slots that ftrace, optimised kprobes and KVM guests fill;
// - the privileged instructions that a guest of KVM PR replaces (arch/powerpc/kernel/kvm.c), wherever they stand.
//
// Call sites of mcount are not in here: who compares text knows them anyway.

import { type LinkAddress, linkAddress } from '../../elf/units.ts';
import type { KernelText, SelfModified } from '../arch.ts';

/** `struct fixup_entry`: mask, value, then start, end, alternative's start and end as distances from the entry. */
const featureTables = ['__ftr_fixup', '__mmu_ftr_fixup', '__fw_ftr_fixup'];
const featureEntry = { size: 48, start: 16, end: 24 } as const;

/** Tables of distances, 8 bytes each, from the entry to the first of so many words. */
const placeTables: readonly (readonly [section: string, words: number])[] = [
  ['__stf_entry_barrier_fixup', 3],
  ['__stf_exit_barrier_fixup', 6],
  ['__uaccess_flush_fixup', 4],
  ['__entry_flush_fixup', 3],
  ['__scv_entry_flush_fixup', 3],
  ['__rfi_flush_fixup', 3],
  ['__spec_barrier_fixup', 1],
  ['__lwsync_fixup', 1],
];

/** `struct jump_entry`: the code's distance from the entry, the target's, and the key's. */
const jumpTable = { start: '__start___jump_table', end: '__stop___jump_table', size: 16 } as const;

/** Each holds, in 4 bytes, the distance from itself to the word (arch/powerpc/kernel/security.c). */
const patchSites = [
  'patch__call_flush_branch_caches1',
  'patch__call_flush_branch_caches2',
  'patch__call_flush_branch_caches3',
  'patch__flush_link_stack_return',
  'patch__flush_count_cache_return',
];

/** The same of KVM for bare machines (KVM_BOOK3S_HV_POSSIBLE): a kernel may have been built without it. */
const patchSitesOfKvm = ['patch__call_kvm_flush_link_stack', 'patch__call_kvm_flush_link_stack_p9'];

/** Labels at so many words that are filled at run time. A kernel built without the facility lacks the label. */
const filled: readonly (readonly [symbol: string, wordsOrEnd: number | string])[] = [
  ['ftrace_call', 1],
  ['ftrace_regs_call', 1],
  // ftrace_dyn_arch_init in kernel/trace/ftrace.c: 32 bytes of `ftrace_tramp_…` in each of the two texts.
  ['ftrace_tramp_text', 8],
  ['ftrace_tramp_init', 8],
  ['optinsn_slot', 'optprobe_template_entry'],
  ['kvm_tmp', 'kvm_tmp_end'],
  ['epapr_hypercall_start', 4],
  ['epapr_ev_idle_start', 4],
  // A probe is always set here: arch_init_kprobes in kernel/kprobes.c.
  ['__kretprobe_trampoline', 1],
  // Two doublewords of data amid the code of kernel/head_64.S, by which processors wait for each other.
  ['__secondary_hold_spinloop', 2],
  ['__secondary_hold_acknowledge', 2],
];

/** More than any feature section is long; a longer one is a table read wrong. */
const longestSection = 0x4000;

/**
 * What `kvm_check_ins` looks for, target register apart: mfmsr, mtmsr, mtmsrd, tlbsync, and moves from and to SPRG0–SPRG7,
 * SRR0, SRR1, DAR, DSISR and PIR.
 */
const paravirtual: ReadonlySet<number> = (() => {
  const [mfmsr, mtmsr, mtmsrd0, mtmsrd1, tlbsync] = [0x7c0000a6, 0x7c000124, 0x7c000164, 0x7c010164, 0x7c00046c];
  const [mfspr, mtspr] = [0x7c0002a6, 0x7c0003a6];
  const [dsisr, dar, srr0, srr1, sprg0, pir] = [18, 19, 26, 27, 272, 1023];
  const sprgs = Array.from({ length: 8 }, (_, i) => sprg0 + i);
  const move = (instruction: number, spr: number) => instruction | ((spr & 31) << 16) | ((spr >> 5) << 11);
  const registers = [dsisr, dar, srr0, srr1, pir, ...sprgs];
  return new Set([
    mfmsr,
    mtmsr,
    mtmsrd0,
    mtmsrd1,
    tlbsync,
    ...registers.flatMap((r) => [move(mfspr, r), move(mtspr, r)]),
  ]);
})();
const targetRegister = 0x03e00000;
/** Whether one of them has these bits 21 to 31, the extended opcode: few words of a kernel are asked for more. */
const isExtendedOpcode = new Uint8Array(1 << 11);
for (const word of paravirtual) isExtendedOpcode[word & 0x7ff] = 1;

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

class Collector {
  readonly words = new Set<bigint>();
  readonly unknown: string[] = [];
  private readonly text: KernelText;

  constructor(text: KernelText) {
    this.text = text;
  }

  /** The words from `start` up to `end`, as far as they are text. */
  range(start: bigint, end: bigint, what: string): void {
    if (start % 4n !== 0n || end < start || end - start > BigInt(longestSection) * 4n) {
      this.unknown.push(
        `${what} names the place 0x${start.toString(16)} to 0x${end.toString(16)}, which no code can be`,
      );
      return;
    }
    if (!this.text.textRanges.some((range) => start >= range.start && start < range.end)) return;
    for (let at = start; at < end; at += 4n) this.words.add(at);
  }

  features(name: string): void {
    const table = this.text.section(name);
    if (!table) return;
    const view = viewOf(table.bytes);
    for (let at = 0; at + featureEntry.size <= view.byteLength; at += featureEntry.size) {
      const entry = table.address + BigInt(at);
      const place = (field: number) => entry + view.getBigInt64(at + field, true);
      this.range(place(featureEntry.start), place(featureEntry.end), name);
    }
  }

  places(name: string, words: number): void {
    const table = this.text.section(name);
    if (!table) return;
    const view = viewOf(table.bytes);
    for (let at = 0; at + 8 <= view.byteLength; at += 8) {
      const start = table.address + BigInt(at) + view.getBigInt64(at, true);
      this.range(start, start + BigInt(4 * words), name);
    }
  }

  jumpLabels(): void {
    const start = this.text.symbol(jumpTable.start);
    const end = this.text.symbol(jumpTable.end);
    const bytes = start !== undefined && end !== undefined && this.text.bytes(start, Number(end - start));
    if (start === undefined || !bytes) {
      this.unknown.push('the table of jump labels cannot be found');
      return;
    }
    const view = viewOf(bytes);
    for (let at = 0; at + jumpTable.size <= view.byteLength; at += jumpTable.size) {
      const code = start + BigInt(at) + BigInt(view.getInt32(at, true));
      this.range(code, code + 4n, 'the table of jump labels');
    }
  }

  patchSite(name: string): void {
    const site = this.text.symbol(name);
    const distance = site === undefined ? undefined : this.text.word(site);
    if (site === undefined || distance === undefined) {
      this.unknown.push(`the patch site ${name} cannot be found`);
      return;
    }
    const start = site + BigInt(distance | 0);
    this.range(start, start + 4n, name);
  }

  filled(name: string, wordsOrEnd: number | string): void {
    const start = this.text.symbol(name);
    if (start === undefined) return;
    const end = typeof wordsOrEnd === 'number' ? start + BigInt(4 * wordsOrEnd) : this.text.symbol(wordsOrEnd);
    if (end === undefined) this.unknown.push(`the end of ${name} cannot be found`);
    else this.range(start, end, name);
  }

  paravirtual(): void {
    for (const { start, end } of this.text.textRanges) {
      const bytes = this.text.bytes(start, Number(end - start));
      if (!bytes) continue;
      const view = viewOf(bytes);
      for (let at = 0; at + 4 <= view.byteLength; at += 4) {
        const word = view.getUint32(at, true);
        if (word >>> 26 !== 31 || isExtendedOpcode[word & 0x7ff] === 0) continue;
        if (paravirtual.has((word & ~targetRegister) >>> 0)) this.words.add(start + BigInt(at));
      }
    }
  }
}

/** The words that a kernel may have rewritten once it runs. Needs the image's sections and its data symbols. */
export function selfModified(text: KernelText): SelfModified {
  const found = new Collector(text);
  if (text.section(featureTables[0]!)) {
    for (const name of featureTables) found.features(name);
    for (const [name, words] of placeTables) found.places(name, words);
  } else {
    found.unknown.push('the image has no section headers, so its tables of feature sections cannot be found');
  }
  found.jumpLabels();
  for (const name of patchSites) found.patchSite(name);
  // They are symbols of data. Where the others are told, all are, and one that is missing is not there.
  const tellsAll = patchSites.every((name) => text.symbol(name) !== undefined);
  for (const name of patchSitesOfKvm) {
    if (!tellsAll || text.symbol(name) !== undefined) found.patchSite(name);
  }
  for (const [name, wordsOrEnd] of filled) found.filled(name, wordsOrEnd);
  found.paravirtual();
  const words: LinkAddress[] = [...found.words].sort((a, b) => (a < b ? -1 : 1)).map(linkAddress);
  return { words, unknown: found.unknown };
}
