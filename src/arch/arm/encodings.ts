// The A32 instructions that Suture knows, one row an encoding: the manual's name and section (ARM DDI 0406C, the
// ARMv7-A architecture), its syntax, its encoding diagram, and what it does.
//
// A row serves both directions, the printer and the machines. The diagram is the manual's, read from bit 31 down: digits
// are fixed bits, names are fields, whose widths stand in `fieldWidths`. The syntax is the manual's too, and is what gets
// printed (`syntax.ts` says how each `<placeholder>` is written); where objdump's manner differs it has objdump's,
// for example `LDRD<c> <Rt>, …` without the second register. Addressing forms that the manual folds into the P and W
// bits of one diagram are rows of their own here, so that each row means one thing.
//
// What a row does is the manual's pseudocode on a `Machine<V>` (`machine.ts`); the condition has been asked before
// (`semantics.ts`). It is held against QEMU, row by row, by test/arm-semantics.test.ts.
//
// Where a row's `unless` holds, the manual sends the reader elsewhere; where `unpredictable` holds, it calls the
// encoding UNPREDICTABLE. Neither is this instruction. Bits that the manual shows in parentheses (should be zero, should
// be one) are fixed bits here: with another value the encoding is UNPREDICTABLE as well. The first row that fits a
// word is the one.

import { blockTransfers } from './block-transfers.ts';
import { branchesAndStatus } from './branches.ts';
import { dataProcessing } from './data-processing.ts';
import { loadsAndStores } from './loads-and-stores.ts';
import type { Row } from './row.ts';

export const rows: readonly Row[] = [...dataProcessing, ...loadsAndStores, ...blockTransfers, ...branchesAndStatus];
