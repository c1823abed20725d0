// A patch module that the user names, read whole and looked at before anything is done with it.

import { findSection, readElf } from '../elf/elf.ts';
import { identification } from '../elf/layout.ts';
import type { ElfModel } from '../elf/model.ts';
import { readInput } from '../host/files.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { readModinfo } from '../kernel/modinfo.ts';
import { checkSignature } from '../kernel/module-signature.ts';
import { patchSection } from '../kernel/patch-module.ts';
import { type PatchModule, readPatchModule } from '../kernel/read-patch-module.ts';
import { checkModuleIsFor } from '../kernel/target-module.ts';
import { reasonError } from '../reason.ts';

export interface PatchFile {
  readonly patch: PatchModule;
  /** The file as it is, signature included. */
  readonly bytes: Uint8Array;
  /** Whether it has Suture's signature; one that does not fit is refused. */
  readonly signed: boolean;
}

/** A module for a kernel's own livepatch. */
export interface LivepatchFile {
  readonly model: ElfModel;
  readonly signed: boolean;
}

/** Reads a patch module. Throws `own-livepatch`, and what `readAnyPatch` throws. */
export async function readPatch(file: string): Promise<PatchFile> {
  const read = await readAnyPatch(file);
  if ('patch' in read) return read;
  throw reasonError(
    'own-livepatch',
    file,
    'it is a module for a kernel’s own livepatch, which makes the redirects: it has none of ours',
    'load it as it is; `suture rehearse` tries it out, `suture info` says what it replaces',
  );
}

/**
 * Reads a patch module, ours or one for a kernel's own livepatch. Throws `file-missing`, `not-a-patch-module`, `patch-malformed` for one
 * that has changed, and what `readPatchModule` throws.
 */
export async function readAnyPatch(file: string): Promise<PatchFile | LivepatchFile> {
  const bytes = await readInput(file);
  if (!identification.magic.every((byte, i) => bytes[i] === byte)) {
    throw reasonError('not-a-patch-module', file, 'it is no ELF file', '`suture build` makes patch modules');
  }
  const { module, intact } = await checkSignature(bytes);
  if (intact === false) {
    throw reasonError(
      'patch-malformed',
      file,
      'it has changed since it was made: its signature does not fit',
      'build it or copy it again; a kernel would refuse it with "Key was rejected by service"',
    );
  }
  const signed = intact === true;
  const model = readElf(module, file);
  // One that is yet to be adapted was compiled against our header, and has other names undefined.
  const isOwn = isLivepatch(model) && model.symbols.some(({ name }) => name === 'klp_enable_patch');
  if (isOwn && !findSection(model, patchSection)) return { model, signed };
  return { patch: readPatchModule(module, file), bytes, signed };
}

/** Whether a module says that it is for a kernel's own livepatch (include/linux/module.h, `is_livepatch_module`). */
function isLivepatch(model: ElfModel): boolean {
  const info = readModinfo(findSection(model, '.modinfo')?.data ?? new Uint8Array());
  return info.some(([key, value]) => key === 'livepatch' && value === 'Y');
}

/**
 * The bytes of a module for a kernel's own livepatch. Throws `file-missing`, `not-a-patch-module` for one that is no live patch,
 * `wrong-kernel`, and what `readElf` throws.
 */
export async function readLivepatchModule({ arch, abi }: Kernel, file: string): Promise<Uint8Array> {
  const bytes = await readInput(file);
  const model = readElf((await checkSignature(bytes)).module, file);
  checkModuleIsFor(model, arch, abi, file);
  if (isLivepatch(model)) return bytes;
  throw reasonError(
    'not-a-patch-module',
    file,
    'its modinfo has no livepatch=Y, by which the kernel’s own livepatch knows its modules',
    '`suture build` for this kernel makes such modules',
  );
}

/** Refuses a patch that was made for another kernel: `wrong-kernel`. `kernel` is what it is to be used on, by name. */
export function checkPatchIsFor(
  { image }: Pick<Kernel, 'image'>,
  name: string,
  { patch }: PatchFile,
  file: string,
): void {
  const { bytes } = image.buildId;
  if (patch.buildId.length === bytes.length && patch.buildId.every((byte, i) => byte === bytes[i])) return;
  throw reasonError(
    'wrong-kernel',
    file,
    `it was made for ${patch.vermagic.split(' ')[0] || 'another kernel'} with build id ${hex(patch.buildId)}; ${name} has ${hex(bytes)}`,
    'build the patch for this very kernel',
  );
}

const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
