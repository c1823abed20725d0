// What a difference between two objects comes to, in the words of the golden cases.

import type { ObjectDiff } from '../../src/diff/diff.ts';
import { stem } from '../../src/diff/names.ts';

/**
 * Sorted lines: `changed`, `new`, `removed` and `lines` (nothing but line numbers) name functions; `takes` and `binds` name what
 * a patch takes along, and what of the original it refers to; `carries` names the sections of tables and of nameless code and
 * data of which it takes something; `refused` has a code and a place.
 */
export function inWords({ changed, new: added, removed, onlyLines, reasons, selection }: ObjectDiff): string[] {
  const own = new Set(changed.map(({ patched }) => patched));
  const things = selection.included.filter(({ kind, name }) => name !== '' && ['function', 'variable'].includes(kind));
  const bound = new Set(
    [...selection.links.values()].flatMap((link) => (link.kind === 'original' && link.piece.name ? [link.piece] : [])),
  );
  const taken = things.filter(
    (piece) => !own.has(piece) || !changed.find(({ patched }) => patched === piece)!.redirected,
  );
  return [
    ...changed.map(({ name }) => `changed ${name}`),
    ...added.map(({ name }) => `new ${name}`),
    ...removed.map(({ name }) => `removed ${name}`),
    ...onlyLines.map((name) => `lines ${name}`),
    ...reasons.map(({ code, place }) => `refused ${code} ${place}`),
    ...taken.map(({ name, kind }) => `takes ${kind === 'function' ? name : stem(name)}`),
    ...new Set(
      selection.included
        .filter(({ kind, section }) => (kind === 'entry' || kind === 'rest') && !section.name.startsWith('.ARM.ex'))
        .map(({ section }) => `carries ${section.name}`),
    ),
    ...[...bound].map(({ name, kind }) => `binds ${kind === 'function' ? name : stem(name)}`),
  ].sort();
}
