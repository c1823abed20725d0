// What a redirect must keep. Each name is one thing that can be broken, said once for every architecture; what it means
// in registers and places an architecture's `CallingConvention` fills in.

import type { SymbolicMachine } from '../symbolic/machine.ts';
import type { Difference } from './example.ts';

export const obligations = {
  arguments: 'every argument register is at the new function’s entry as the caller left it',
  'callee-saved':
    'every callee-saved register is as the caller left it, at the new function’s entry and on return; the one of the processor’s area is right at every moment',
  'entry-address': 'the new function finds its own address where its entry takes it from',
  alignment: 'the stack pointer is as aligned as the ABI has it, at every moment and at the new function’s entry',
  'back-chain':
    'from the new function’s frame the chain of frames leads to the caller’s, with the return address into it',
  'stack-arguments': 'the stack arguments are where the ABI has them, with the caller’s values',
  'callers-stack': 'nothing is written to the stack above the caller’s stack pointer but what belongs to a callee',
  way: 'control goes where the handler sent it: to the new function, or on in the old one',
  'site-address': 'the handler is told the address of the call site',
  'handler-call':
    'the handler, and a tracer that the hook calls, find what the ABI and ftrace’s contract give them: stack, TOC pointer, arguments, saved registers',
  'old-code': 'where the handler redirects nothing, the old code goes on as if nobody had traced it',
  'return-address': 'when the function returns, control is back at the caller, by way of who traces returns',
  'stack-pointer': 'the stack pointer is never above the caller’s, and the caller finds its own again',
  results: 'the caller finds the results as the function returned them',
  toc: 'the caller finds its TOC pointer where it relies on it: in the register, and where its frame keeps it',
} as const;

export type Obligation = keyof typeof obligations;

export interface Failure extends Difference {
  readonly obligation: Obligation;
  /** How the old function was called, where there is more than one way. */
  readonly entry: string;
  /** The register that holds what was found, or by which it was found; undefined for what is elsewhere. */
  readonly register: number | undefined;
  /** The machine as it was when the obligation was looked at. */
  readonly machine: SymbolicMachine;
}
