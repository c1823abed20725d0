// The decoder is held against binutils: every word of the stock ppc64le kernel's text that the table claims is printed
// as objdump prints it, and goes back into the same word.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { decode, encode, field, print } from '../src/arch/ppc64le/instructions.ts';
import { platform } from '../src/arch/ppc64le/platform.ts';
import { run } from '../src/host/run.ts';
import { withTemporaryFolder } from '../src/host/temporary.ts';
import type { KernelImage } from '../src/kernel/image.ts';
import { stockImage } from './support/stock-image.ts';

let image: KernelImage;
beforeAll(async () => {
  image = await stockImage('6.1.0-50-powerpc64le');
});

/** Where we print something else than objdump on purpose. */
const exceptions: ReadonlyMap<string, (theirs: string) => string> = new Map([
  // With `raw`, objdump shows the optional operand that makes mfcr an mfocrf elsewhere, as -1: no field of the word.
  ['mfcr', (theirs) => theirs.replace(/,-1$/, '')],
]);

const line = /^\s*([0-9a-f]+):\t((?:[0-9a-f]{2} ){3}[0-9a-f]{2}) \t(\S+)\s*(.*)$/;

test('The table prints the stock kernel’s text as objdump does, and encodes it back', async () => {
  /** Words that were looked at, with what objdump says of them: the same again needs no second look. */
  const seen = new Map<number, string>();
  const counts = { words: 0, claimed: 0, zeros: 0 };
  const wrong: string[] = [];

  function compare(text: string): void {
    const match = line.exec(text);
    if (!match) return;
    const [, at, bytes, mnemonic, operands] = match as unknown as [string, string, string, string, string];
    counts.words++;
    const word = Number.parseInt(bytes.split(' ').reverse().join(''), 16);
    if (word === 0) counts.zeros++;
    const instruction = decode(word);
    if (!instruction) return;
    counts.claimed++;
    const { name, fields } = instruction.encoding;
    const theirs = `${mnemonic} ${operands}`.trim();
    if (seen.get(word) === theirs) return;
    seen.set(word, theirs);
    const except = exceptions.get(name);
    const ours = print(instruction, BigInt(`0x${at}`));
    if (ours !== (except ? except(theirs) : theirs)) wrong.push(`${text}: printed as ${ours}`);
    if (encode(name, Object.fromEntries(fields.map((f) => [f, field(f, word)]))) !== word) {
      wrong.push(`${text}: encoded as another word`);
    }
  }

  await withTemporaryFolder(async (folder) => {
    for (const { start, end } of image.textRanges) {
      const file = join(folder, 'text');
      await writeFile(file, image.bytes(start, Number(end - start))!);
      let partial = '';
      await run(
        `${platform.cross.prefix}objdump`,
        // biome-ignore format: the options of one program
        ['-D', '-z', '-b', 'binary', '-m', 'powerpc:common64', '-EL', '-M', 'power10,raw', `--adjust-vma=0x${start.toString(16)}`, file],
        {
          onStdout: (text) => {
            const lines = (partial + text).split('\n');
            partial = lines.pop()!;
            for (const each of lines) compare(each);
          },
        },
      );
      compare(partial);
    }
  });

  const size = image.textRanges.reduce((sum, { start, end }) => sum + Number(end - start), 0);
  console.log(`claimed ${counts.claimed} of ${counts.words - counts.zeros} words, ${wrong.length} wrong`);
  expect(wrong.slice(0, 20)).toEqual([]);
  // Words in pairs that objdump takes for prefixed instructions of POWER10 are data: it prints them as one line.
  expect(counts.words / (size / 4)).toBeGreaterThan(0.999);
  // What the table leaves out: vectors, floating point, hypervisor instructions, data amid the text; zeros fill gaps.
  expect(counts.claimed / (counts.words - counts.zeros)).toBeGreaterThan(0.995);
});
