// What differs between two printed texts, as a person wants to see it.

/** Lines of each side at most. */
const most = 20;

/**
 * The lines in which two texts differ, with `-` in front of those of `before` and `+` of those of `after`; what they begin and end with
 * in common is left out, with a word about where that was. Texts of the same lines are shown as they are, to the last character.
 */
export function lineDifference(before: string, after: string): string {
  const [old, fresh] = [before.split('\n'), after.split('\n')];
  let start = 0;
  while (start < Math.min(old.length, fresh.length) && old[start] === fresh[start]) start++;
  let end = 0;
  while (end < Math.min(old.length, fresh.length) - start && old.at(-1 - end) === fresh.at(-1 - end)) end++;
  const side = (sign: string, lines: readonly string[]): string[] => {
    const own = lines.slice(start, lines.length - end);
    const shown = own.slice(0, most).map((line) => `${sign}${line}`);
    return own.length > most ? [...shown, `${sign}… and ${own.length - most} lines more`] : shown;
  };
  const where = start === 0 ? [] : [`from line ${start + 1} on:`];
  return [...where, ...side('-', old), ...side('+', fresh)].join('\n');
}
