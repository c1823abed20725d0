// What a proof runs in Thumb-2 code: what is between an old function's entry and a new one, and nothing else. That is an island's
// load of the pc (the branch itself is the core's arithmetic, `../../arch.ts`), and a branch.

import { linkAddress } from '../../../elf/units.ts';
import { type InstructionSet, type Machine, NotUnderstood, withNumber } from '../../machine.ts';
import { instructionSet as a32 } from '../semantics.ts';
import { pcAhead, readBranch } from './instructions.ts';

const PC = 15;

/** LDR (literal) T2: 1111 1000 U101 1111, Rt imm12 (ARM DDI 0406C, section A8.8.64); undefined for another one. */
function loadOfPc(word: number): { offset: number } | undefined {
  const [first, second] = [word & 0xffff, word >>> 16];
  if ((first & 0xff7f) !== 0xf85f || second >>> 12 !== PC) return undefined;
  return { offset: (first & 0x80) !== 0 ? second & 0xfff : -(second & 0xfff) };
}

/** B.W (section A8.8.18, T3 and T4); a conditional one is not wanted here. */
function farBranch(word: number): number | undefined {
  const [first, second] = [word & 0xffff, word >>> 16];
  const isT4 = first >>> 11 === 0b11110 && (second & 0xd000) === 0x9000;
  return isT4 ? readBranch(first, second, 0)!.distance : undefined;
}

/** LoadWritePC, BXWritePC (section A2.3.2): bit 0 says that it goes on in Thumb code. */
function goOnAt<V>(m: Machine<V>, target: V): void {
  if (!m.decide(withNumber(m, 'and', target, 1))) throw new NotUnderstood('it goes on in A32 code');
  m.jump(withNumber(m, 'subtract', target, 1));
}

function execute<V>(m: Machine<V>, word: number): void {
  const [load, distance] = [loadOfPc(word), farBranch(word)];
  if (distance !== undefined) {
    m.jump(withNumber(m, 'add', m.pc, distance));
  } else if (load) {
    if (m.decide(withNumber(m, 'and', m.pc, 3))) throw new NotUnderstood('it is at no multiple of 4');
    const address = withNumber(m, 'add', m.pc, pcAhead + load.offset);
    if (load.offset % 4 !== 0) throw new NotUnderstood('its address may be no multiple of 4');
    goOnAt(m, m.load(address, 4));
  } else throw new NotUnderstood('it is not among the Thumb-2 instructions that are run');
}

/** The same state as in A32 code; an instruction that is run has two halfwords, the first one in the word's lower half. */
export const instructionSet: InstructionSet = { ...a32, codeBit: 1n, execute };

/** As objdump prints them, with a tab behind the mnemonic; undefined for all others. */
export function disassemble(word: number, address = linkAddress(0n)): string | undefined {
  const [load, distance] = [loadOfPc(word), farBranch(word)];
  if (distance !== undefined) return `b.w\t0x${((Number(address) + distance) >>> 0).toString(16)}`;
  return load && `ldr.w\tpc, [pc, #${load.offset}]`;
}
