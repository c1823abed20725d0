// How Thumb-2 code is read is held against binutils: of halfwords by chance, and so of every encoding, how long each instruction
// is, where branches lead, and what is reached relative to the PC.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { platform } from '../src/arch/arm/platform.ts';
import { isWide, readBranch, readLiteral, readNumber } from '../src/arch/arm/thumb/instructions.ts';
import { run } from '../src/host/run.ts';
import { withTemporaryFolder } from '../src/host/temporary.ts';
import { randomNumbers } from './support/random.ts';

const count = 200_000;

/** `b.n`, `beq.w`, `cbz`, `bl`, …, whose target is the last operand. */
const branch =
  /^(b|bl|blx|cbz|cbnz)(eq|ne|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al)?(\.[nw])?\t(?:\w+, )?0x([0-9a-f]+)(?: |$)/;
/** `[pc, #-8]`, and the addition and subtraction that ADR is. */
const literal = /\[pc(?:, #(-?)(\d+))?\](?!!)/;
const adr = /^(?:add|addw|subw)(?:\w\w)?\t\w+, pc, #(\d+)/;
/** `movs r1, #7`, `mov.w r2, #332`, `movw r3, #343`; within an IT block with its condition. */
const number = /^mov(?:s|w|\.w|eq|ne|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al)?\t(\w+), #(\d+)/;
/** As they are called. */
const registers = 'r0 r1 r2 r3 r4 r5 r6 r7 r8 r9 sl fp ip sp lr pc'.split(' ');

/**
 * What ARMv7-A does not have, or calls UNPREDICTABLE, as objdump says or not: branches of the M profile (bf, bfl, …), halves of
 * floating point, other coprocessors, stores relative to the PC, and the PC as a base that changes.
 */
const meansNothing = /undefined|unpredictable|unknown|illegal|<und>|^(v?st|cfst|bf|ldrex|vldr\.16)|\[pc\], ?[{#r]/i;

test('Lengths, branches and literals are those that objdump tells', async () => {
  const next = randomNumbers(7);
  const halves = Uint16Array.from({ length: count }, () => next(0x10000));
  const counts = { instructions: 0, branches: 0, literals: 0, numbers: 0 };
  const wrong: string[] = [];

  const compare = (line: string): void => {
    const match = /^ *([0-9a-f]+):\t([0-9a-f]{4})(?: ([0-9a-f]{4}))? *\t(.*)$/.exec(line);
    if (!match) return;
    const [, at, one, two, text] = match as unknown as [string, string, string, string | undefined, string];
    const [address, first, second] = [`0x${at}`, `0x${one}`, `0x${two ?? '0'}`].map(Number) as [number, number, number];
    counts.instructions++;
    if (isWide(first) !== (two !== undefined)) wrong.push(`${line}: has another length`);
    if (meansNothing.test(text)) return;

    const target = branch.exec(text);
    const ours = readBranch(first, second, address);
    if (target) counts.branches++;
    const led = ours && (address + ours.distance) >>> 0;
    const expected = target && Number.parseInt(target[4]!, 16) >>> 0;
    if ((led ?? null) !== expected) wrong.push(`${line}: a branch to ${led?.toString(16)}`);

    const [loads, known] = [number.exec(text), readNumber(first, second)];
    if (loads) counts.numbers++;
    const [register, value] = loads ? [registers.indexOf(loads[1]!), Number(loads[2])] : [];
    if (known?.register !== register || known?.value !== value) wrong.push(`${line}: loads ${JSON.stringify(known)}`);

    const reached = readLiteral(first, second, address)?.address;
    const base = (address + 4) & ~3;
    const [load, sum] = [literal.exec(text), adr.exec(text)];
    if (!load && !sum) return;
    const offset = load
      ? Number(`${load[1] ?? ''}${load[2] ?? 0}`)
      : Number(sum![1]) * (text.startsWith('sub') ? -1 : 1);
    counts.literals++;
    if (reached !== (base + offset) >>> 0) wrong.push(`${line}: reaches ${reached?.toString(16)}`);
  };

  await withTemporaryFolder(async (folder) => {
    const file = join(folder, 'code');
    await writeFile(file, new Uint8Array(halves.buffer));
    const options = ['-D', '-z', '-b', 'binary', '-m', 'arm', '-M', 'force-thumb'];
    const { stdout } = await run(`${platform.cross.prefix}objdump`, [...options, file]);
    stdout.split('\n').forEach(compare);
  });
  console.log(`${JSON.stringify(counts)}, ${wrong.length} wrong`);
  expect(wrong.slice(0, 20)).toEqual([]);
  expect(counts.branches).toBeGreaterThan(10_000);
  expect(counts.literals).toBeGreaterThan(3_000);
  expect(counts.numbers).toBeGreaterThan(3_000);
});
