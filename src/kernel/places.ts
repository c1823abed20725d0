// Lists of what lies at offsets of sections.

import type { Section } from '../elf/model.ts';

interface Placed {
  readonly offset: number;
}

/** The same in the order of offsets, in which most are. */
export function byOffset<T extends Placed>(placed: readonly T[]): T[] {
  const isInOrder = placed.every(({ offset }, i) => i === 0 || placed[i - 1]!.offset <= offset);
  return isInOrder ? placed.slice() : [...placed].sort((a, b) => a.offset - b.offset);
}

/** Of a list in the order of offsets, the index of the first that does not lie before an offset. */
export function firstFrom(sorted: readonly Placed[], offset: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]!.offset < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Those with `from <= offset < to` of a list in the order of offsets. */
export const between = <T extends Placed>(sorted: readonly T[], from: number, to: number): T[] =>
  sorted.slice(firstFrom(sorted, from), firstFrom(sorted, to));

/** The list of a section in a map of such; a new one, if there is none yet. */
export function listIn<T>(lists: Map<Section, T[]>, section: Section): T[] {
  const list = lists.get(section) ?? [];
  lists.set(section, list);
  return list;
}
