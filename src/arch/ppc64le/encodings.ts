// The instructions that prologues, stubs, hooks and the analysis of stack arguments meet, one row an encoding: the
// manual's syntax, the word's layout, the book and section of the Power ISA that has the instruction (3.0B, or 3.1 where
// that is said, for what it widened or added), and what it does (`row.ts`).
//
// Mnemonics are the basic ones: `addi r3,0,5`, not its alias `li r3,5`, as objdump prints them with `-M power10,raw`. What
// a row does is the manual's text on a `Machine<V>` (`../machine.ts`); it is held against QEMU, row by row, by
// test/ppc64le-semantics.test.ts. Words that no row claims decode to nothing, and whoever decodes must take that for
// "unknown", never for "harmless".

import { arithmetic } from './arithmetic.ts';
import { branches } from './branches.ts';
import { loadsAndStores } from './loads-and-stores.ts';
import { logic } from './logic.ts';
import type { Row } from './row.ts';
import { specialRegisters } from './special-registers.ts';

export const rows: readonly Row[] = [...branches, ...loadsAndStores, ...arithmetic, ...logic, ...specialRegisters];
