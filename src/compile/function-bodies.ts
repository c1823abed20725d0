// C source cut into function bodies and all else, as a reader of a patch would cut it: by text alone, without a compiler.
//
// It says what kind of change a fix is, so that how many of a kind become patches can be counted; it decides nothing of what
// goes into one. Comments and the amount of white space do not count. Of an #if with several branches all are read, each from the
// same depth of braces; what is in no branch of this configuration is read like everything else.

/** A source file, cut. */
export interface CutSource {
  /** All that is in no body, with `{}` where one was. */
  readonly outside: string;
  /** What stands between the braces, by what stands before them: `static int f(int x)`. */
  readonly bodies: ReadonlyMap<string, string>;
}

/** What a change of one file is. */
export interface SourceChange {
  /** Nothing outside of function bodies differs. */
  readonly bodiesOnly: boolean;
  /** Names of the functions whose bodies differ; where a macro makes the name, what the macro is given. */
  readonly functions: readonly string[];
}

/** Compares two states of a file. */
export function sourceChange(before: string, after: string): SourceChange {
  const [old, fresh] = [cutSource(before), cutSource(after)];
  const heads = [...new Set([...old.bodies.keys(), ...fresh.bodies.keys()])];
  return {
    bodiesOnly: old.outside === fresh.outside,
    functions: [...new Set(heads.filter((head) => old.bodies.get(head) !== fresh.bodies.get(head)).map(nameIn))],
  };
}

/** A comment, a directive with its continued lines, a string, a character, a word or number, a sign. */
export const cToken =
  /\/\*[\s\S]*?(?:\*\/|(?![\s\S]))|\/\/(?:\\\n|[^\n])*|(?<=^[ \t]*)#(?:\\\n|\/\*[\s\S]*?\*\/|[^\n])*|"(?:\\[\s\S]|[^"\\\n])*"?|'(?:\\[\s\S]|[^'\\\n])*'?|\w+|[^\s\w]/gm;

/** Cuts a file's text. What follows a brace that is never closed belongs to its body. */
export function cutSource(text: string): CutSource {
  const outside: string[] = [];
  const bodies = new Map<string, string>();
  /** Depths at the open #if directives. */
  const branches: number[] = [];
  let depth = 0;
  /** Where what may become a function's head begins in `outside`. */
  let start = 0;
  let body: { head: string; words: string[] } | undefined;
  const finish = () => {
    if (body === undefined) return;
    // The same head twice: the branches of an #if have one each.
    bodies.set(
      body.head,
      [...(bodies.has(body.head) ? [bodies.get(body.head)!] : []), body.words.join(' ')].join(' } '),
    );
    body = undefined;
  };
  for (const [word] of text.matchAll(cToken)) {
    if (word.startsWith('/*') || word.startsWith('//')) continue;
    if (word.startsWith('#')) {
      if (/^#\s*if/.test(word)) branches.push(depth);
      else if (/^#\s*el/.test(word)) depth = branches.at(-1) ?? depth;
      else if (/^#\s*endif/.test(word)) branches.pop();
      if (depth === 0) finish();
      (body?.words ?? outside).push(word.replace(/\\\n|\s+|\/\*[\s\S]*?\*\//g, ' ').trimEnd());
      if (body === undefined && depth === 0) start = outside.length;
      continue;
    }
    if (word === '{' && depth++ === 0 && isHead(outside.slice(start))) {
      body = { head: outside.slice(start).join(' '), words: [] };
      outside.push('{}');
      continue;
    }
    if (word === '}') {
      depth = Math.max(depth - 1, 0);
      if (depth === 0 && body !== undefined) {
        finish();
        start = outside.length;
        continue;
      }
    }
    (body?.words ?? outside).push(word);
    if (depth === 0 && word === ';') start = outside.length;
  }
  finish();
  return { outside: outside.join(' '), bodies };
}

/** Whether a brace behind these words opens a function's body: they end in arguments, or in arguments and an attribute's name. */
function isHead(words: readonly string[]): boolean {
  const last = words.at(-1) ?? '';
  if (last === ')') return true;
  return (
    /^\w+$/.test(last) &&
    words.includes(')') &&
    !words.includes('=') &&
    !/^(?:typedef|struct|union|enum)$/.test(words[0]!)
  );
}

/** `static int f ( int x )` → f; `SYSCALL_DEFINE3 ( read , …` → read. */
function nameIn(head: string): string {
  const [, before, first] = /(\w+) \( (\w*)/.exec(head) ?? [];
  if (before === undefined) return head;
  return /^[A-Z][A-Z0-9_]*$/.test(before) && first ? first : before;
}
