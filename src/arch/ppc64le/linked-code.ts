// What linked code of ppc64le shows of its relocations: the way back from an instruction to the address that the linker
// put there. ELFv2 ABI 1.5, section 3.5.3; S the symbol, A the addend, P the place, .TOC. the TOC pointer of the image.
//
//   type                     operation        where the result stands
//   REL24, REL14             S + A - P        the branch's field; S is the local entry if the callee shares the TOC
//   TOC16_HA                 S + A - .TOC.    #ha, the high half adjusted for a signed low half
//   TOC16_LO, TOC16_LO_DS    S + A - .TOC.    the low half, signed; with DS its two lowest bits belong to the opcode
//   TOC16, TOC16_DS          S + A - .TOC.    the whole, 16 bits, signed
//   REL16_HA, REL16_LO       S + A - P        as #ha and #lo; in a prologue S is .TOC. and A 0 and 4, so A - P is the same
//   ADDR64                   S + A            eight bytes of data
//
// GNU ld edits TOC references (bfd/elf64-ppc.c: ppc64_elf_edit_toc and the end of ppc64_elf_relocate_section, binutils 2.40):
//
//   as compiled                      as linked
//   addis rT,r2,x@toc@ha             nop, where #ha is 0; and then rT below is r2
//   ld    rT,slot@toc@l(rA)          addi rT,rA,x@toc@l: the slot of .toc that holds x's address is gone, and what both
//                                    words show is x itself
//
// A call of a weak symbol that nobody defines becomes a nop.

import { type LinkAddress, linkAddress } from '../../elf/units.ts';
import type { KernelText, LinkedPlace, Shown } from '../arch.ts';
import { R_PPC64_REL16_HA, R_PPC64_REL16_LO, R_PPC64_REL24 } from './relocations.ts';

const [R_PPC64_NONE, R_PPC64_ADDR32, R_PPC64_REL14, R_PPC64_REL32] = [0, 1, 11, 26];
const [R_PPC64_TOC16, R_PPC64_TOC16_LO, R_PPC64_TOC16_HA] = [47, 48, 50];
const [R_PPC64_TOC16_DS, R_PPC64_TOC16_LO_DS, R_PPC64_TOCSAVE, R_PPC64_ENTRY] = [63, 64, 109, 118];
const R_PPC64_RELATIVE = 22;

const nop = 0x60000000;

/** Parts of a sum: high and low. */
const [low, high] = [0, 1];

const wrap = (value: bigint): bigint => BigInt.asUintN(64, value);
const signed = (value: number, bits: number): bigint => BigInt.asIntN(bits, BigInt(value));
/** #ha of the ABI: the high half, rounded for a signed low half. */
const adjusted = (value: bigint): bigint => BigInt.asIntN(16, (value + 0x8000n) >> 16n);
const lowHalf = (value: bigint): bigint => BigInt.asIntN(16, value);

/** Primary opcodes: the six highest bits. */
const opcode = (word: number): number => word >>> 26;
const [ADDI, ADDIS, LD] = [14, 15, 58];
/** The register that an address is counted from. */
const registerA = (word: number): number => (word >>> 16) & 31;
const toc = 2;

/** What a linked word shows of its relocation. Throws nothing: without a TOC pointer in the image it is `unknown`. */
export function shownTarget(place: LinkedPlace, image: KernelText): Shown {
  const { type, compiled, linked, address } = place;
  const addend = place.addend ?? 0n;
  const same = (mask: number) => ((compiled ^ linked) & mask) === 0;
  /** Counted from `base`: the place or the TOC pointer. */
  const counted = (
    base: bigint,
    parts: [number, bigint][],
    of: number,
    test: (value: bigint) => boolean,
    isContent = false,
  ): Shown => ({
    addend: addend - base,
    of,
    parts,
    isContent,
    fits: (symbol) => test(symbol + addend - base),
  });

  switch (type) {
    case R_PPC64_NONE:
    case R_PPC64_TOCSAVE:
    case R_PPC64_ENTRY:
      return 'nothing';
    case R_PPC64_REL24:
    case R_PPC64_REL14: {
      const mask = type === R_PPC64_REL24 ? 0xfc000003 : 0xffff0003;
      if (linked === nop) return 'left-out';
      if (!same(mask)) return 'differs';
      const target = wrap(address + signed(linked & ~mask, type === R_PPC64_REL24 ? 26 : 16));
      const entry = globalEntry(linkAddress(target), image);
      const beyond = throughStub(linkAddress(target), image);
      const through = beyond === undefined ? undefined : globalEntry(linkAddress(beyond), image);
      return {
        addend,
        of: 1,
        parts: [[0, entry]],
        isContent: false,
        through,
        fits: (symbol) => [target, entry, beyond, through].includes(wrap(symbol + addend)),
      };
    }
    case R_PPC64_ADDR32:
      return counted(0n, [[0, BigInt(linked)]], 1, (value) => (value & 0xffffffffn) === BigInt(linked));
    case R_PPC64_REL32:
      return counted(address, [[0, signed(linked, 32)]], 1, (value) => value === signed(linked, 32));
    case R_PPC64_REL16_HA:
      if (!same(0xffff0000)) return 'differs';
      return counted(
        address,
        [[high, signed(linked & 0xffff, 16) << 16n]],
        2,
        (v) => adjusted(v) === signed(linked & 0xffff, 16),
      );
    case R_PPC64_REL16_LO:
      if (!same(0xffff0000)) return 'differs';
      return counted(
        address,
        [[low, signed(linked & 0xffff, 16)]],
        2,
        (v) => lowHalf(v) === signed(linked & 0xffff, 16),
      );
    case R_PPC64_TOC16_HA: {
      const base = tocPointer(image);
      if (base === undefined) return 'unknown';
      if (linked === nop && opcode(compiled) === ADDIS && registerA(compiled) === toc) {
        return counted(base, [[high, 0n]], 2, (value) => adjusted(value) === 0n);
      }
      if (!same(0xffff0000)) return 'differs';
      return counted(
        base,
        [[high, signed(linked & 0xffff, 16) << 16n]],
        2,
        (v) => adjusted(v) === signed(linked & 0xffff, 16),
      );
    }
    case R_PPC64_TOC16:
    case R_PPC64_TOC16_DS:
    case R_PPC64_TOC16_LO:
    case R_PPC64_TOC16_LO_DS: {
      const base = tocPointer(image);
      if (base === undefined) return 'unknown';
      const isWhole = type === R_PPC64_TOC16 || type === R_PPC64_TOC16_DS;
      const isDs = type === R_PPC64_TOC16_DS || type === R_PPC64_TOC16_LO_DS;
      const isContent = isDs && opcode(compiled) === LD && (compiled & 3) === 0 && opcode(linked) === ADDI;
      const fromToc = !isWhole && registerA(linked) === toc && registerA(compiled) !== toc;
      // Opcode and target register, then the base register, then the opcode's two lowest bits.
      const kept = (isContent ? 0x03e00000 : 0xffe00000) | (fromToc ? 0 : 0x001f0000) | (isDs && !isContent ? 3 : 0);
      if (!same(kept)) return 'differs';
      const field = signed(linked & (isDs && !isContent ? 0xfffc : 0xffff), 16);
      if (isWhole) return counted(base, [[0, field]], 1, (value) => value === field, isContent);
      const parts: [number, bigint][] = fromToc
        ? [
            [low, field],
            [high, 0n],
          ]
        : [[low, field]];
      return counted(base, parts, 2, (v) => lowHalf(v) === field && (!fromToc || adjusted(v) === 0n), isContent);
    }
    default:
      return 'unknown';
  }
}

/** `addis r2,r12,…` and `addi r2,r2,…`, which make the TOC pointer at a function's global entry (ABI, section 3.2.4.1). */
const [addisTocEntry, addiTocToc] = [0x3c4c, 0x3842];
const entrySize = 8n;

/** Whether a function's global entry is at an address: the code that makes the TOC pointer. */
const isGlobalEntry = (address: bigint, image: KernelText): boolean =>
  (image.word(linkAddress(address)) ?? 0) >>> 16 === addisTocEntry &&
  (image.word(linkAddress(address + 4n)) ?? 0) >>> 16 === addiTocToc;

/** The function that a branch enters: its global entry, where the branch leads to the local one. */
const globalEntry = (target: LinkAddress, image: KernelText): bigint =>
  isGlobalEntry(target - entrySize, image) ? target - entrySize : target;

/**
 * Where a stub leads that ld puts between a branch and a target out of its reach, ±32 MB; from .init.text nearly everything
 * is (long_branch and plt_branch in bfd/elf64-ppc.c). Undefined for what cannot be such a stub.
 *
 *   b     target                  4[89ab]…     where the stub itself is in reach
 *
 *   addis r12,r2,slot@toc@ha      3d82 hhhh    left out where the slot, in .branch_lt, is near the TOC pointer; r12 below is r2
 *   ld    r12,slot@toc@l(r12)     e98c llll
 *   mtctr r12                     7d8903a6
 *   bctr                          4e800420
 */
function throughStub(stub: LinkAddress, image: KernelText): bigint | undefined {
  const word = (i: number) => image.word(linkAddress(stub + BigInt(4 * i))) ?? 0;
  const [B, linkAndAbsolute] = [18, 3];
  if (opcode(word(0)) === B && (word(0) & linkAndAbsolute) === 0) return wrap(stub + signed(word(0) & 0x3fffffc, 26));
  const base = tocPointer(image);
  const isLong = word(0) >>> 16 === 0x3d82;
  const at = isLong ? 1 : 0;
  const load = word(at);
  const isStub =
    load >>> 16 === (isLong ? 0xe98c : 0xe982) && word(at + 1) === 0x7d8903a6 && word(at + 2) === 0x4e800420;
  if (base === undefined || !isStub) return undefined;
  const high = isLong ? signed(word(0) & 0xffff, 16) << 16n : 0n;
  return linkedPointer(linkAddress(wrap(base + high + signed(load & 0xfffc, 16))), image);
}

const tocPointers = new WeakMap<KernelText, { readonly value: bigint | undefined }>();

/** The TOC pointer of an image: the symbol that ld makes. */
function tocPointer(image: KernelText): bigint | undefined {
  const known = tocPointers.get(image) ?? { value: image.symbol('.TOC.') ?? tocOfEntry(image) };
  tocPointers.set(image, known);
  return known.value;
}

/** Without a symbol: what the first function of the image that makes one makes. */
function tocOfEntry(image: KernelText): bigint | undefined {
  for (const { start, end } of image.textRanges) {
    for (let at = start; at < end; at = linkAddress(at + 4n)) {
      if (!isGlobalEntry(at, image)) continue;
      const [first, second] = [image.word(at)!, image.word(linkAddress(at + 4n))!];
      return wrap(at + (signed(first & 0xffff, 16) << 16n) + signed(second & 0xffff, 16));
    }
  }
  return undefined;
}

const relativePointers = new WeakMap<KernelText, ReadonlyMap<bigint, bigint>>();

/**
 * A pointer in an image's data. A kernel that can run anywhere (CONFIG_RELOCATABLE) is linked with -pie: the pointers are in
 * .rela.dyn (Elf64_Rela: offset, info, addend), and what stands in their places means nothing.
 */
export function linkedPointer(address: LinkAddress, image: KernelText): LinkAddress | undefined {
  let pointers = relativePointers.get(image);
  if (!pointers) {
    const table = image.section('.rela.dyn')?.bytes ?? new Uint8Array();
    const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
    const found = new Map<bigint, bigint>();
    for (let at = 0; at + 24 <= table.length; at += 24) {
      if (view.getUint32(at + 8, true) === R_PPC64_RELATIVE)
        found.set(view.getBigUint64(at, true), view.getBigUint64(at + 16, true));
    }
    pointers = found;
    relativePointers.set(image, pointers);
  }
  const relative = pointers.get(address);
  if (relative !== undefined) return linkAddress(relative);
  const [first, second] = [image.word(address), image.word(linkAddress(address + 4n))];
  return first === undefined || second === undefined ? undefined : linkAddress((BigInt(second) << 32n) | BigInt(first));
}
