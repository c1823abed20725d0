// A fix that the user names, looked at before the kernel is read and a compiler started: what is not a fix is answered at once.

import { parseUnifiedDiff } from '../compile/unified-diff.ts';
import { readInput } from '../host/files.ts';
import { reasonError } from '../reason.ts';

/** What a user gives to be built. */
export type Fix =
  | { readonly kind: 'c' }
  /** A unified diff; each character is a byte, since files of the kernel need not be UTF-8. */
  | { readonly kind: 'patch'; readonly text: string };

/** Reads a fix. Throws `file-missing`, `patch-unreadable`, `whole-module`, `usage` for assembly. */
export async function readFix(file: string): Promise<Fix> {
  const bytes = await readInput(file);
  const text = Buffer.from(bytes).toString('latin1');
  if (isPatch(text, file)) {
    parseUnifiedDiff(text, file);
    return { kind: 'patch', text };
  }
  checkFix(new TextDecoder().decode(bytes), file);
  return { kind: 'c' };
}

/** How patch files begin, as diff and git write them, and how a file in them does, below whatever text there is. */
const patchStart = /^(?:--- |diff |Index: |From [0-9a-f]{40} )/;
const fileStart = /^--- .*\n\+\+\+ .*\n@@ -\d/m;

/** Whether a file is a source patch, by what is in it, or by its name if it is called one. */
export const isPatch = (text: string, file: string): boolean =>
  /\.(?:patch|diff)$/.test(file) || patchStart.test(text) || fileStart.test(text);

/** Comments and literals of C; one that does not end goes to the end of the text. */
const notCode = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\/\*[\s\S]*?(?:\*\/|$)|\/\/.*/g;

/** Refuses a whole livepatch module (as in the kernel's samples), and assembly. */
export function checkFix(text: string, file: string): void {
  if (/\.[sS]$/.test(file)) {
    throw reasonError(
      'usage',
      file,
      'it is assembly; a fix is a C file or a patch of the kernel’s source',
      'give the functions in C, with asm() in them where need be; for a redirect of your own: `suture prove --redirect`',
    );
  }
  const [call] = /\b(?:klp_enable_patch|module_init)(?=\s*\()/.exec(text.replace(notCode, ' ')) ?? [];
  if (call !== undefined) {
    throw reasonError(
      'whole-module',
      file,
      `this is a whole livepatch module: it has ${call}; give only the functions`,
      'leave out klp_patch, init and exit: `suture build` adds them. A function is named as the kernel’s that it replaces',
    );
  }
}
