// Where instructions begin. They may be of two lengths, and there may be data between them, which the assembler has marked; so
// from the start of what is code each instruction tells where the next one is.

import type { ObjectCode } from '../arch/arch.ts';
import { SHF_EXECINSTR } from '../elf/constants.ts';
import { isSection } from '../elf/elf.ts';
import type { ElfModel, Section } from '../elf/model.ts';
import type { DiffedObject } from './object.ts';
import { viewOf } from './resolve.ts';

/** Where code or data begins in a section. */
interface Mark {
  readonly at: number;
  readonly isData: boolean;
}

/** The word at an offset; of one that is beyond the end only the half that is there. */
export const wordAt = (view: DataView, at: number): number =>
  at + 4 <= view.byteLength ? view.getUint32(at, true) : view.getUint16(at, true);

/** The branch that begins at an offset; undefined where another instruction does, or where the bytes end. */
export const branchAt = (code: ObjectCode, view: DataView, at: number): ReturnType<ObjectCode['branch']> =>
  at >= 0 && at + code.step <= view.byteLength ? code.branch(wordAt(view, at)) : undefined;

/** `DiffedObject.instructions` of an object. What lies before the first mark is code, and all of it where there are none. */
export function instructionsOf(model: ElfModel, code: ObjectCode): DiffedObject['instructions'] {
  const marks = marksBySection(model, code);
  return ({ section, start, end }) => {
    const view = viewOf(section);
    const { step } = code;
    const last = Math.min(end, view.byteLength);
    const found: number[] = [];
    const own = marks.get(section) ?? [];
    let next = own.findIndex(({ at }) => at > start);
    if (next < 0) next = own.length;
    let isData = own[next - 1]?.isData ?? false;
    for (let at = Math.ceil(start / step) * step; at + step <= last; ) {
      while (next < own.length && own[next]!.at <= at) isData = own[next++]!.isData;
      const size = isData ? step : code.instructionSize(wordAt(view, at));
      if (!isData && at + size <= last) found.push(at);
      at += size;
    }
    return found;
  };
}

function marksBySection({ symbols }: ElfModel, code: ObjectCode): Map<Section, Mark[]> {
  const found = new Map<Section, Mark[]>();
  if (!code.marksData) return found;
  for (const { name, place, value } of symbols) {
    if (!isSection(place) || (place.flags & SHF_EXECINSTR) === 0n || !code.isMarker(name)) continue;
    const list = found.get(place) ?? [];
    if (list.length === 0) found.set(place, list);
    list.push({ at: Number(value), isData: code.marksData(name) });
  }
  for (const list of found.values()) list.sort((a, b) => a.at - b.at);
  return found;
}
