// Which functions a change touches, as the compiler's assembly shows it: those whose text differs between the old and the new
// state of a file. It is there to hold the builder's choice against, so it shares nothing with the comparison of objects
// (src/diff): it reads what gcc -S writes, as text.
//
//   	.type	f, %function      f's text is from here, `@function` on some architectures,
//   f:
//   	ldr	r0, .L7
//   	.size	f, .-f            to here
//
// Not compared is what the compiler numbers through the file. A label of code (.L7) is the third one of its function, whatever
// its number; a string, a constant, a static local or what a macro numbers (.LC3, count.3, __UNIQUE_ID_ddebug451) is what
// stands behind it.

/** The functions of an assembly file, each as text that can be compared. */
export function functionTexts(assembly: string): Map<string, string> {
  const lines = assembly.split('\n').map((line) => line.trim());
  const constants = labelledData(lines);
  const found = new Map<string, string>();
  let name: string | undefined;
  let body: string[] = [];
  for (const line of lines) {
    const opens = /^\.type\s+([^,\s]+),\s*[%@]function$/.exec(line);
    if (opens && name === undefined) {
      name = opens[1]!;
      body = [];
    } else if (name !== undefined && line.startsWith('.size') && line.split(/[\s,]+/)[1] === name) {
      // Branches of an #if may not both be there, but a name of two assembly blocks may.
      const plain = plainNumbers(name);
      found.set(plain, (found.get(plain) ?? '') + comparable(body, constants));
      name = undefined;
    } else if (name !== undefined && !/^\.set\s+\.LC/.test(line)) {
      body.push(line);
    }
  }
  return found;
}

export interface ChangedFunctions {
  /** Functions that both have and that differ, and those that one of them lacks, sorted. */
  readonly changed: readonly string[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Who names a function, before or after, by that function's name: each one that some other function names. */
  readonly callers: Readonly<Record<string, readonly string[]>>;
}

/** Compares the assembly of two states of a file. */
export function changedFunctions(before: string, after: string): ChangedFunctions {
  const [old, fresh] = [functionTexts(before), functionTexts(after)];
  return {
    callers: callersIn(old, fresh),
    changed: [...fresh]
      .filter(([name, text]) => old.has(name) && old.get(name) !== text)
      .map(([name]) => name)
      .sort(),
    added: [...fresh.keys()].filter((name) => !old.has(name)).sort(),
    removed: [...old.keys()].filter((name) => !fresh.has(name)).sort(),
  };
}

/** The assembly of a file before and after. */
type States = readonly [before: string, after: string];

/**
 * Compares two states that were compiled as for a patch; and compiled as the kernel was, where a changed function may be inlined in
 * others: these have changed too, if the former have them.
 */
export function changedInEither(forPatch: States, asKernel: States): ChangedFunctions {
  const own = changedFunctions(...forPatch);
  const old = functionTexts(forPatch[0]);
  const inlined = changedFunctions(...asKernel).changed.flatMap((name) =>
    [name, name.split('.', 1)[0]!].filter((each) => old.has(each) && !own.removed.includes(each)).slice(0, 1),
  );
  return { ...own, changed: [...new Set([...own.changed, ...inlined])].sort() };
}

function callersIn(...states: readonly ReadonlyMap<string, string>[]): Record<string, string[]> {
  const callers = new Map<string, Set<string>>();
  for (const functions of states) {
    for (const [caller, text] of functions) {
      for (const [word] of text.matchAll(/[A-Za-z_][\w.]*/g)) {
        if (word === caller || !functions.has(word)) continue;
        callers.set(word, (callers.get(word) ?? new Set()).add(caller));
      }
    }
  }
  return Object.fromEntries([...callers].map(([name, found]) => [name, [...found].sort()]));
}

/** `count.3` → `count`, `f.isra.0.cold` → `f.isra.cold`. */
export const plainNumbers = (name: string): string => name.replace(/\.\d+(?=\.|$)/g, '');

/** What a label of data is called that the compiler numbers: constants, static locals, what __COUNTER__ is in the name of. */
const numberedLabel = /\.LC\d+\b|\b[A-Za-z_]\w*\.\d+\b|\b__UNIQUE_ID_\w+/g;

/** What stands behind each such label outside of functions: its directives, up to the next label, section or symbol. */
function labelledData(lines: readonly string[]): Map<string, string[]> {
  const data = new Map<string, string[]>();
  const others: [label: string, same: string][] = [];
  let label: string | undefined;
  for (const line of lines) {
    // An entry of the TOC that another one has made already.
    const [, alias, same] = /^\.set\s+([\w.]+),\s*([\w.]+)$/.exec(line) ?? [];
    if (alias !== undefined) others.push([alias, same!]);
    const opened = /^([\w.]+):$/.exec(line)?.[1];
    if (opened !== undefined && opened.match(numberedLabel)?.[0] === opened) {
      label = opened;
      data.set(label, []);
    } else if (
      /^(?:[^\s"]+:|\.(?:section|text|data|bss|type|size|globl|global|align|p2align|previous|set)\b)/.test(line)
    ) {
      label = undefined;
    } else if (label !== undefined) {
      data.get(label)!.push(line);
    }
  }
  for (const [alias, same] of others) if (data.has(same)) data.set(alias, data.get(same)!);
  return data;
}

function comparable(body: readonly string[], constants: ReadonlyMap<string, readonly string[]>): string {
  const labels = new Map<string, string>();
  const numbered = (label: string) => {
    if (!labels.has(label)) labels.set(label, `.L#${labels.size}`);
    return labels.get(label)!;
  };
  const resolve = (line: string, depth: number): string => {
    if (/^\.(?:ascii|string)\b/.test(line)) return line;
    return line
      .replace(numberedLabel, (label) => {
        const lines = depth < 4 ? constants.get(label) : undefined;
        if (lines === undefined) return plainNumbers(label);
        const meant = isMessage.test(label) ? lines.filter((each) => !isNumber.test(each)) : lines;
        return `{${meant.map((each) => resolve(each, depth + 1)).join(';')}}`;
      })
      .replace(codeLabel, numbered);
  };
  // The compiler leaves labels behind that nothing leads to any more.
  const led = new Set(body.flatMap((line) => (isLabel(line) ? [] : (line.match(codeLabel) ?? []))));
  return body
    .filter((line) => !isLabel(line) || led.has(line.slice(0, -1)))
    .map((line) => resolve(line, 0))
    .join('\n');
}

/** What describes a pr_debug() holds its line as a number (struct _ddebug in linux/dynamic_debug.h, Linux 6.1), and little else. */
const isMessage = /^__UNIQUE_ID_ddebug/;
const isNumber = /^\.\w+\s+-?(?:0x)?\d+$/;
const codeLabel = /\.L[A-Z]*\d+\b/g;
const isLabel = (line: string): boolean => /^\.L[A-Z]*\d+:$/.test(line);
