// A fix that the user names, looked at before the kernel is read and a compiler started: what is not a fix is answered at once.

import { readInput } from '../host/files.ts';
import { reasonError } from '../reason.ts';

/** Reads a fix. Throws `file-missing`, `usage` for a source patch, `whole-module`. */
export async function readFix(file: string): Promise<void> {
  checkFix(new TextDecoder().decode(await readInput(file)), file);
}

/** How patch files begin: as diff and git write them. */
const patchStart = /^(?:--- |diff |Index: |From [0-9a-f]{40} )/;

/** Comments and literals of C; one that does not end goes to the end of the text. */
const notCode = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\/\*[\s\S]*?(?:\*\/|$)|\/\/.*/g;

/** Refuses what is no fix: a source patch, a whole livepatch module (as in the kernel's samples). */
export function checkFix(text: string, file: string): void {
  if (/\.(?:patch|diff)$/.test(file) || patchStart.test(text)) {
    throw reasonError(
      'usage',
      file,
      'source patches come later; give a C file',
      'write the functions as they are to be',
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
