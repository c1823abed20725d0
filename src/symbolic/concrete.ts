// A machine whose values are numbers: instructions run as on a processor. What the prover concludes from a
// semantics is worth as much as the semantics is, and here it can be tried.

import { compute, type InstructionSet, type Machine, type Operation, type Size } from '../arch/machine.ts';

/** Memory by byte. An address that is not there makes both throw whatever the owner likes. */
export interface Memory {
  byte(address: bigint): number;
  setByte(address: bigint, value: number): void;
}

export class ConcreteMachine implements Machine<bigint> {
  readonly bits: 32 | 64;
  /** By number; each `bits` wide. */
  readonly registers: bigint[];
  pc: bigint;
  private next: bigint | undefined;
  private readonly set: InstructionSet;
  private readonly memory: Memory;

  constructor(set: InstructionSet, memory: Memory, registers: readonly bigint[], pc: bigint) {
    this.set = set;
    this.bits = set.bits;
    this.memory = memory;
    this.registers = set.registers.map((_, n) => this.constant(registers[n] ?? 0n));
    this.pc = pc;
  }

  /** Runs the instruction at the pc. Throws `NotUnderstood`; the machine's state is then of no worth. */
  step(): void {
    this.perform(() => this.set.execute(this, Number(this.load(this.pc, 4))));
  }

  /** Does anything in the instruction's stead, and goes on behind it unless that jumps. Throws what it throws. */
  perform(run: () => void): void {
    this.next = undefined;
    run();
    this.pc = this.next ?? this.constant(this.pc + BigInt(this.set.instructionSize));
  }

  read(register: number): bigint {
    return this.registers[register]!;
  }

  write(register: number, value: bigint): void {
    this.registers[register] = value;
  }

  jump(target: bigint): void {
    this.next = target;
  }

  load(address: bigint, size: Size): bigint {
    let value = 0n;
    for (let i = size - 1; i >= 0; i--)
      value = (value << 8n) | BigInt(this.memory.byte(this.constant(address + BigInt(i))));
    return value;
  }

  store(address: bigint, size: Size, value: bigint): void {
    for (let i = 0; i < size; i++)
      this.memory.setByte(this.constant(address + BigInt(i)), Number((value >> BigInt(8 * i)) & 0xffn));
  }

  constant(value: number | bigint): bigint {
    return BigInt.asUintN(this.bits, BigInt(value));
  }

  apply(operation: Operation, a: bigint, b: bigint): bigint {
    return compute(operation, this.bits, a, b);
  }

  decide(condition: bigint): boolean {
    return condition !== 0n;
  }
}
