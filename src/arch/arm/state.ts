// The state that semantics read and write, under the manual's names, and what several instructions share.

import { reasonError } from '../../reason.ts';
import { type Machine, NotUnderstood, withNumber } from '../machine.ts';
import { LR, PC } from './row.ts';

/** How far the PC, read as an operand or as a branch's origin, is ahead of the instruction in A32 (section A2.3). */
export const pcAhead = 8;

// Numbers of registers beyond lr. The pc has none: it is the machine's own.

/** The condition flags, one register each (section A2.4). */
export const N = 15;
export const Z = 16;
export const C = 17;
export const V = 18;
/** The other bits of the CPSR, in their places; those of the flags are 0 (section B1.3.3). */
export const PSR = 19;
/** The user read-only thread ID register, CP15 c13, where the kernel keeps `current` (section B4.1.153). */
export const TPIDRURO = 20;

export const stateNames = [
  ...['r0', 'r1', 'r2', 'r3', 'r4', 'r5', 'r6', 'r7', 'r8', 'r9', 'r10', 'fp', 'ip', 'sp', 'lr'],
  ...['N', 'Z', 'C', 'V', 'psr', 'tpidruro'],
] as const;

export function readRegister<T>(m: Machine<T>, register: number): T {
  return register === PC ? withNumber(m, 'add', m.pc, pcAhead) : m.read(register);
}

/** A write to the PC is a branch, whichever instruction does it, and tells by its lowest bit which set goes on. */
export function writeRegister<T>(m: Machine<T>, register: number, value: T): void {
  if (register === PC) branchExchange(m, value);
  else m.write(register, value);
}

/** BXWritePC (section A2.3.2). Thumb is not ours: no kernel that Suture knows is built of it. */
export function branchExchange<T>(m: Machine<T>, target: T): void {
  if (m.decide(withNumber(m, 'and', target, 1))) throw new NotUnderstood('it goes on in Thumb code');
  if (m.decide(withNumber(m, 'and', target, 2))) throw new NotUnderstood('UNPREDICTABLE: it jumps to no multiple of 4');
  m.jump(target);
}

/** Keeps the address of the next instruction as the one to return to. */
export const link = <T>(m: Machine<T>): void => m.write(LR, withNumber(m, 'add', m.pc, 4));

/** Transfers of more than a word, and loads of the PC, fault elsewhere (section A3.2.1). */
export function checkWordAligned<T>(m: Machine<T>, address: T): void {
  if (m.decide(withNumber(m, 'and', address, 3))) throw new NotUnderstood('its address may be no multiple of 4');
}

/** ConditionPassed (section A8.3.1); the odd conditions are the even ones the other way round. */
export function conditionHolds<T>(m: Machine<T>, cond: number): boolean {
  const set = (flag: number): boolean => m.decide(m.read(flag));
  const signsAgree = (): boolean => m.decide(m.apply('equal', m.read(N), m.read(V)));
  const holds = (): boolean => {
    switch (cond >> 1) {
      case 0: // EQ
        return set(Z);
      case 1: // CS
        return set(C);
      case 2: // MI
        return set(N);
      case 3: // VS
        return set(V);
      case 4: // HI
        return set(C) && !set(Z);
      case 5: // GE
        return signsAgree();
      case 6: // GT
        return !set(Z) && signsAgree();
      default: // AL; 15 is no condition (section A5.7)
        throw reasonError('bug', `condition ${cond}`, 'it is not one that can fail');
    }
  };
  return holds() !== (cond % 2 === 1);
}
