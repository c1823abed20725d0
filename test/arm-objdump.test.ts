// The decoder is held against binutils: every word of the stock ARM kernel's text that the table claims is printed as
// objdump prints it, and goes back into the same word.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { decode, encode } from '../src/arch/arm/instructions.ts';
import { platform } from '../src/arch/arm/platform.ts';
import { disassemble } from '../src/arch/arm/syntax.ts';
import { linkAddress } from '../src/elf/units.ts';
import { run } from '../src/host/run.ts';
import { withTemporaryFolder } from '../src/host/temporary.ts';
import type { KernelImage } from '../src/kernel/image.ts';
import { stockImage } from './support/stock-image.ts';

let image: KernelImage;
beforeAll(async () => {
  image = await stockImage('6.1.0-50-armmp');
});

/** What objdump adds behind the instruction: a value in hexadecimal, a literal's address, another spelling. */
const withoutRemark = (text: string): string => {
  const remark = text.indexOf('@');
  return (remark === -1 ? text : text.slice(0, remark)).trimEnd();
};

test('The table prints the stock kernel’s text as objdump does, and encodes it back', async () => {
  const counts = { words: 0, claimed: 0 };
  const wrong: string[] = [];

  function compare(line: string): void {
    const [at, hex, ...rest] = line.split('\t');
    if (!at?.endsWith(':') || !hex) return;
    counts.words++;
    const word = Number.parseInt(hex, 16);
    const ours = disassemble(word, linkAddress(BigInt(`0x${at.trim().slice(0, -1)}`)));
    if (ours === undefined) return;
    counts.claimed++;
    const instruction = decode(word)!;
    if (ours !== withoutRemark(rest.join('\t'))) wrong.push(`${line}: printed as ${ours}`);
    if (encode(instruction.encoding.name, instruction.fields) !== word) wrong.push(`${line}: encoded as another word`);
  }

  await withTemporaryFolder(async (folder) => {
    for (const { start, end } of image.textRanges) {
      const file = join(folder, 'text');
      await writeFile(file, image.bytes(start, Number(end - start))!);
      let partial = '';
      await run(
        `${platform.cross.prefix}objdump`,
        ['-D', '-z', '-b', 'binary', '-m', 'arm', `--adjust-vma=0x${start.toString(16)}`, file],
        {
          onStdout: (text) => {
            const lines = (partial + text).split('\n');
            partial = lines.pop()!;
            for (const line of lines) compare(line);
          },
        },
      );
      compare(partial);
    }
  });

  const size = image.textRanges.reduce((sum, { start, end }) => sum + Number(end - start), 0);
  console.log(`claimed ${counts.claimed} of ${counts.words} words, ${wrong.length} wrong`);
  expect(wrong.slice(0, 20)).toEqual([]);
  expect(counts.words).toBe(Math.ceil(size / 4));
  // What the table leaves out: barriers, exclusives, multiplication, bit fields, VFP.
  expect(counts.claimed / counts.words).toBeGreaterThan(0.96);
});
