// What a patch adds to a header, where adding is all that it does: prototypes, external variables, macros and inline functions
// by names of their own. Such a header changes nothing for files that do not speak of these names, however many include it.
//
// By text alone, without a compiler, and of anything that is not plainly one of these nothing is claimed. A name that ## makes of
// two halves is not seen; what would be changed by that is a name which code had before the patch defined it.

import { cToken } from './function-bodies.ts';

/** What makes a declaration more than one: it has effects where nobody uses it, or names others than the one before `(`. */
const notPlain = new Set(['typedef', 'asm', '__asm__', '__attribute__', 'used', '__used', 'enum', '=', '#', '##']);

const isName = (word: string | undefined): boolean => word !== undefined && /^[A-Za-z_]\w*$/.test(word);

/**
 * The names that lines of a header define or declare; undefined if the lines may do anything else. `text` is the header as the
 * patch makes it, `added` its new lines, counted from 0; the patch takes none away.
 */
export function namesAdded(text: string, added: ReadonlySet<number>): ReadonlySet<string> | undefined {
  const names = new Set<string>();
  /** Depths at the open #if directives. */
  const branches: number[] = [];
  let depth = 0;
  let declaration: string[] = [];
  let isBody = false;
  let fresh = 0;
  let line = 0;
  let scanned = 0;
  for (const { 0: word, index } of text.matchAll(cToken)) {
    for (; scanned < index; scanned++) if (text[scanned] === '\n') line++;
    const isNew = added.has(line);
    const lastLine = line + (word.split('\n').length - 1);
    if (word.startsWith('/*') || word.startsWith('//')) {
      // One that is begun by the patch must not swallow code, nor one that it ends give some free.
      if (added.has(lastLine) !== isNew) return undefined;
      continue;
    }
    for (let each = line; each <= lastLine; each++) if (added.has(each) !== isNew) return undefined;
    if (word.startsWith('#')) {
      const [, name] = /^#\s*define\s+(\w+)/.exec(word) ?? [];
      if (isNew && name === undefined) return undefined;
      if (isNew) names.add(name!);
      else if (/^#\s*if/.test(word)) branches.push(depth);
      else if (/^#\s*el/.test(word)) depth = branches.at(-1) ?? depth;
      else if (/^#\s*endif/.test(word)) branches.pop();
      continue;
    }
    if (word === '{' && depth === 0) isBody = declaration.at(-1) === ')';
    if ('({['.includes(word)) depth++;
    if (')}]'.includes(word)) depth--;
    if (depth < 0) return undefined;
    declaration.push(word);
    if (isNew) fresh++;
    if (depth > 0 || (word !== ';' && !(word === '}' && isBody))) continue;
    if (fresh > 0) {
      const declared = fresh === declaration.length ? namesDeclared(declaration) : undefined;
      if (declared === undefined) return undefined;
      for (const name of declared) names.add(name);
    }
    declaration = [];
    isBody = false;
    fresh = 0;
  }
  return fresh > 0 || depth !== 0 ? undefined : names;
}

/** What one whole declaration gives a name to; undefined if it may do more. */
function namesDeclared(words: readonly string[]): string[] | undefined {
  if (words.some((word) => notPlain.has(word))) return undefined;
  if (words.length === 3 && (words[0] === 'struct' || words[0] === 'union')) return [];
  const outer: string[] = [];
  let depth = 0;
  for (const word of words) {
    if (')}]'.includes(word)) depth--;
    if (depth === 0) outer.push(word);
    if ('({['.includes(word)) depth++;
  }
  if (outer.includes(',')) return undefined;
  const called = outer.filter((word, i) => isName(word) && outer[i + 1] === '(');
  if (outer.includes('{')) {
    const isInline = outer.some((word) => /^(?:__)?(?:inline|always_inline)(?:__)?$/.test(word));
    return outer.includes('static') && isInline && called.length > 0 ? called : undefined;
  }
  if (called.length > 0) return called;
  const last = outer.findLast((word, i) => isName(word) && (outer[i + 1] === ';' || outer[i + 1] === '['));
  return outer[0] === 'extern' && last !== undefined ? [last] : undefined;
}
