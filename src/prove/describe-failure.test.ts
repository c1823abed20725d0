// Somebody who designs a trampoline has to see from the text alone what is wrong with it, and where it went wrong.

import { beforeAll, describe, expect, test } from 'vitest';
import { encode } from '../arch/arm/instructions.ts';
import { proofFacts } from '../arch/arm/proof-facts.ts';
import { R_ARM_JUMP24 } from '../arch/arm/relocations.ts';
import { disassemble } from '../arch/arm/syntax.ts';
import { linkAddress } from '../elf/units.ts';
import { describeFailure } from './describe-failure.ts';
import { proveRedirect } from './redirect.ts';

const SP = 13;
const LR = 14;
const entry = 0xc0300000n;

/** It keeps the pc alone, in a frame at sp, and does not care for registers. */
const hook = [
  encode('STR (immediate), pre-indexed', { Rn: SP, Rt: LR, U: 0, imm12: 4 }),
  encode('SUB (immediate)', { S: 0, Rn: SP, Rd: 3, imm12: 60 }),
  encode('SUB (immediate)', { S: 0, Rn: LR, Rd: 0, imm12: 4 }),
  encode('BL', { imm24: 0x1000 }),
  encode('LDR (immediate), post-indexed', { Rn: SP, Rt: 12, U: 1, imm12: 4 }),
  encode('LDR (immediate), post-indexed', { Rn: SP, Rt: LR, U: 1, imm12: 4 }),
  encode('BX', { Rm: 12 }),
];

/** What is said of r4 where a stub runs these words and goes on to the new function. */
function described(...words: number[]): string {
  const verdict = proveRedirect(
    proofFacts,
    { entry, handlerCall: entry + 12n, ops: 0n, word: (address) => hook[Number(address - entry) / 4] },
    {
      prologue: Uint32Array.of(encode('PUSH, one register', { Rt: LR }), 0),
      stub: {
        words: Uint32Array.of(...words, encode('B', { imm24: 0xfffffe })),
        relocations: [{ offset: 4 * words.length, type: R_ARM_JUMP24, symbol: 'new-function', addend: -8n }],
      },
    },
  );
  if (verdict.verdict !== 'refuted') throw new Error(verdict.verdict);
  const failure = verdict.failures.find(({ what }) => what === 'r4')!;
  return describeFailure(failure, (word, address) => disassemble(word, linkAddress(address)));
}

let text: string;

beforeAll(() => {
  text = described(encode('MOV (immediate)', { S: 0, Rd: 4, imm12: 7 }));
});

describe('The description of a failure', () => {
  test('says what is broken, what was expected and what found, and which instruction did it', () => {
    expect(text).toMatch(/^callee-saved: every callee-saved register is as the caller left it/);
    expect(text).toContain('r4 should be r4\n  and is 7, since mov r4, #7 at stub\n');
  });

  test('names the path, and numbers for which it goes wrong', () => {
    expect(text).toContain('The old function is called at its entry.\n');
    expect(text).toContain('whether the handler redirects: yes');
    expect(text).toMatch(/For example with\n( {2}.* = 0x[0-9a-f]+\n)+/);
  });

  test('shows the run with what each step wrote, and marks the step that did it', () => {
    const run = text.slice(text.indexOf('The run'));
    expect(run).toMatch(/^ {2}old function +push \{lr\} +\[sp - 4\] = lr, sp = sp - 4$/m);
    expect(run).toMatch(/^ {2}0xc0300004 +sub r3, sp, #60 +r3 = sp - 0x44$/m);
    expect(run).toMatch(/^ {2}0xc030000c +the handler +\[sp - 8\] = stub, unknown: r0 r1 r2 r3 ip lr N Z C V$/m);
    expect(run.match(/^> .*$/gm)).toEqual([expect.stringMatching(/^> stub +mov r4, #7 +r4 = 7$/)]);
  });

  test('marks the step that changed the register, and none that has the same value for another', () => {
    const copy = (to: number) => encode('MOV (register)', { S: 0, Rd: to, Rm: SP });
    expect(described(copy(4), copy(12))).toContain('since mov r4, sp at stub\n');
  });

  test('shows the registers and the stack as they were then', () => {
    expect(text).toMatch(/Then, at new function:\n(.*\n)*? {2}r4 = 7\n/);
  });
});
