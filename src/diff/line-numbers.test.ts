// "Only the line number has changed" is said of what is then not patched, so not one byte may be passed over.

import { expect, test } from 'vitest';
import { architectureByName } from '../arch/architectures.ts';
import { EM_ARM, ET_REL, SHF_EXECINSTR, SHT_PROGBITS } from '../elf/constants.ts';
import { newModel, newSection } from '../elf/elf.ts';
import { instructionsOf } from './instructions.ts';
import { onlyLinesDiffer } from './line-numbers.ts';
import type { Piece } from './object.ts';

const arm = architectureByName('arm');
const none = newModel({ class: 32, type: ET_REL, machine: EM_ARM, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0 });

test.each([arm, arm.otherSet!])(
  'A byte that differs is a difference, wherever it stands ($codeName)',
  ({ objectCode }) => {
    const object = { code: objectCode, instructions: instructionsOf(none, objectCode) };
    for (const start of [0, 1, 2, 3]) {
      const before = new Uint8Array(11);
      const section = newSection('.text', SHT_PROGBITS, SHF_EXECINSTR, new Uint8Array(start + before.length));
      const piece = { section, start, end: section.size, origin: start, references: [] } as unknown as Piece;
      expect(onlyLinesDiffer(before, before.slice(), piece, object, new Set())).toBe(true);
      for (let at = 0; at < before.length; at++) {
        const after = before.slice();
        after[at] = 1;
        expect(onlyLinesDiffer(before, after, piece, object, new Set()), `${start}, ${at}`).toBe(false);
      }
    }
  },
);
