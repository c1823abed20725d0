// A stub that restores one register wrongly corrupts the kernel silently, so each kind of prologue has its stub here
// in black and white. (test/arm-redirect.test.ts runs the stubs.)

import { describe, expect, test } from 'vitest';
import { goldenCases } from '../../../test/support/golden.ts';
import { linkAddress } from '../../elf/units.ts';
import { ReasonError } from '../../reason.ts';
import { ftraceStub } from './ftrace-redirect.ts';
import { disassemble } from './syntax.ts';

const entry = 0xc0300000n;
const noCode = new Uint32Array();

/** `bl`, wherever to: it is the address that makes a call site. */
const callOfMcount = 0xeb000000;

function stubText(words: readonly number[]): string {
  const site = linkAddress(entry + BigInt(4 * (words.length - 1)));
  try {
    const { words: stub } = ftraceStub(
      { name: 'old', address: linkAddress(entry), words: Uint32Array.from(words) },
      site,
      noCode,
    );
    return stub.map(({ text }) => text).join('\n');
  } catch (error) {
    if (!(error instanceof ReasonError)) throw error;
    const { code, place, message } = error.reasons[0];
    return `${code} ${place}: ${message}`;
  }
}

describe('The stub that undoes a prologue', () => {
  for (const { title, input, expected } of goldenCases(new URL('prologues.txt', import.meta.url)))
    test(title, () => {
      const lines = input.split('\n').map((line) => line.split(/ {2}/) as [string, string]);
      const words = lines.map(([word]) => Number.parseInt(word, 16));
      words.forEach((word, i) => {
        expect(disassemble(word, linkAddress(entry + BigInt(4 * i)))?.replace('\t', ' ')).toBe(lines[i]![1]);
      });
      expect(stubText([...words, callOfMcount])).toBe(expected);
    });

  test('branches to the new function by a relocation whose addend stands in the branch', () => {
    const words = Uint32Array.of(0xe92d4010, 0xe52de004, 0xeb000000);
    const stub = ftraceStub({ name: 'old', address: linkAddress(entry), words }, linkAddress(entry + 8n), noCode);
    expect(stub.relocations).toEqual([{ offset: 4, type: 29, symbol: 'new-function', addend: -8n }]);
    expect(stub.words[1]!.word).toBe(0xeafffffe);
  });

  test('does not take ftrace’s nop in place of the call for something else', () => {
    expect(stubText([0xe92d4010, 0xe52de004, 0xe28dd004])).toBe('add sp, sp, #8\nb new_function');
  });
});
