// What a function's prologue did, found by running it on values that are only known in relation to the entry.
//
// The machine is small because prologues are: a register holds what some register held at the entry plus a constant,
// or something unknown; memory is known where it lies below the entry's sp at a known distance. Instructions that a
// prologue has no use for, branches first of all, end the run: the code is then not understood and the function
// refused.

import { linkAddress } from '../../elf/units.ts';
import { reasonError } from '../../reason.ts';
import type { FunctionText } from '../arch.ts';
import { always, decode, expandImmediate, type Instruction } from './instructions.ts';
import { disassemble, registerNames } from './syntax.ts';

/** A value: that of a register at the entry, plus a constant; undefined when it is not known as such. */
type Value = { readonly register: number; readonly plus: number } | undefined;

export const SP = 13;
export const LR = 14;
const PC = 15;

/**
 * The state behind some instructions: the registers r0–lr, and words of the stack by their distance from the entry's
 * sp.
 */
export interface PrologueState {
  readonly registers: Value[];
  readonly stack: Map<number, Value>;
}

const plus = (value: Value, constant: number): Value =>
  value && { register: value.register, plus: value.plus + constant };

class Machine implements PrologueState {
  readonly registers: Value[] = Array.from({ length: PC }, (_, register) => ({ register, plus: 0 }));
  readonly stack = new Map<number, Value>();

  /** The distance of an address from the entry's sp; undefined if it is no address of the stack. */
  private distance(address: Value): number | undefined {
    return address?.register === SP ? address.plus : undefined;
  }

  /** False if it cannot be told what was overwritten, or if it was not the function's to write. */
  private store(address: Value, value: Value): boolean {
    const distance = this.distance(address);
    if (distance === undefined || distance >= 0 || distance % 4 !== 0) return false;
    this.stack.set(distance, value);
    return true;
  }

  private load(address: Value): Value {
    const distance = this.distance(address);
    return distance === undefined ? undefined : this.stack.get(distance);
  }

  /** Moves words between registers, the lowest first, and memory from `address` on. */
  private transfer(registers: readonly number[], address: Value, load: boolean): boolean {
    return registers.every((register, i) => {
      const place = plus(address, 4 * i);
      if (!load) return this.store(place, register === PC ? undefined : this.registers[register]);
      if (register === PC) return false;
      this.registers[register] = this.load(place);
      return true;
    });
  }

  /** Runs one instruction. False if it is not one that this machine understands. */
  step(instruction: Instruction): boolean {
    const understood = this.execute(instruction);
    // What lies below sp, be it for one instruction, an interrupt may overwrite.
    const sp = this.distance(this.registers[SP]) ?? 0;
    for (const distance of this.stack.keys()) if (distance < sp) this.stack.delete(distance);
    return understood;
  }

  private execute({ encoding, fields }: Instruction): boolean {
    const f = fields as Required<typeof fields>;
    if (f.cond !== always || f.Rd === PC || f.Rn === PC || f.Rm === PC) return false;
    const { registers } = this;
    const offset = (amount: number): number => (f.U ? amount : -amount);
    switch (encoding.name) {
      case 'PUSH':
      case 'STMDB, PUSH':
        return this.block(SP, f.register_list, 'before-down', true, false);
      case 'PUSH, one register':
        return this.block(SP, 1 << f.Rt, 'before-down', true, false);
      case 'POP':
      case 'LDM, POP':
        return this.block(SP, f.register_list, 'after-up', true, true);
      case 'POP, one register':
        return this.block(SP, 1 << f.Rt, 'after-up', true, true);
      case 'STMDB':
        return this.block(f.Rn, f.register_list, 'before-down', f.W === 1, false);
      case 'STM':
      case 'STM, write-back':
        return this.block(f.Rn, f.register_list, 'after-up', encoding.name !== 'STM', false);
      case 'LDM':
        return this.block(f.Rn, f.register_list, 'after-up', f.W === 1, true);
      case 'STR (immediate)':
        return this.transfer([f.Rt], plus(registers[f.Rn], offset(f.imm12)), false);
      case 'STR (immediate), pre-indexed': {
        const address = plus(registers[f.Rn], offset(f.imm12));
        const stored = this.transfer([f.Rt], address, false);
        registers[f.Rn] = address;
        return stored;
      }
      case 'LDR (immediate)':
        return this.transfer([f.Rt], plus(registers[f.Rn], offset(f.imm12)), true);
      case 'STRD (immediate)':
        return this.transfer([f.Rt, f.Rt + 1], plus(registers[f.Rn], offset(f.imm4H * 16 + f.imm4L)), false);
      case 'ADD (immediate)':
        registers[f.Rd] = plus(registers[f.Rn], expandImmediate(f.imm12));
        return true;
      case 'SUB (immediate)':
        registers[f.Rd] = plus(registers[f.Rn], -expandImmediate(f.imm12));
        return true;
      case 'MOV (register)':
        registers[f.Rd] = registers[f.Rm];
        return true;
      case 'MOV (register), nop':
      case 'NOP':
        return true;
      case 'MOV (immediate)':
      case 'MOV (immediate), wide':
      case 'MOVT':
        registers[f.Rd] = undefined;
        return true;
      default:
        return false;
    }
  }

  private block(
    base: number,
    list: number,
    mode: 'before-down' | 'after-up',
    writeBack: boolean,
    load: boolean,
  ): boolean {
    const chosen = registerNames.map((_, register) => register).filter((register) => list & (1 << register));
    const size = 4 * chosen.length;
    const old = this.registers[base];
    const lowest = mode === 'before-down' ? plus(old, -size) : old;
    const done = this.transfer(chosen, lowest, load);
    if (writeBack) this.registers[base] = mode === 'before-down' ? lowest : plus(old, size);
    return done;
  }
}

/**
 * Runs the first `count` words of a function. Throws `prologue-unknown`, naming the instruction, where one of them is
 * not of the kind that prologues are made of.
 */
export function runPrologue(old: FunctionText, count: number): PrologueState {
  const machine = new Machine();
  for (let i = 0; i < count; i++) {
    const word = old.words[i] ?? 0;
    const instruction = decode(word);
    if (instruction && machine.step(instruction)) continue;
    const address = linkAddress(old.address + BigInt(4 * i));
    const text = disassemble(word, address)?.replace('\t', ' ') ?? `the word 0x${word.toString(16).padStart(8, '0')}`;
    throw reasonError(
      'prologue-unknown',
      `${old.name}+0x${(4 * i).toString(16)}`,
      `${text} stands before the call of mcount, and it is not known how to undo it`,
      'patch its callers instead',
    );
  }
  return machine;
}
