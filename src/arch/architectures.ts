// The architectures that Suture knows. Adding one is a folder beside `arm/` and a line here.

import type { ElfModel } from '../elf/model.ts';
import type { Architecture, Platform } from './arch.ts';
import { arm } from './arm/arm.ts';
import { ppc64le } from './ppc64le/ppc64le.ts';

export const architectures: readonly Architecture[] = [arm, ppc64le];

/** By the platform's name, or by the names that the distribution and Kbuild have for it. */
export function architectureByName(name: Platform['name']): Architecture;
export function architectureByName(name: string): Architecture | undefined;
export function architectureByName(name: string): Architecture | undefined {
  return architectures.find(
    ({ platform }) => platform.name === name || platform.debian.architecture === name || platform.kbuild === name,
  );
}

/** By what an ELF header says: its class (32 or 64) and e_machine. */
export const architectureOfElf = (header: { class: 32 | 64; machine: number }): Architecture | undefined =>
  architectures.find(({ elf }) => elf.class === header.class && elf.machine === header.machine);

/** By the same of an object, and by which instructions the assembler has marked in it: the other set's, where it has any. */
export function architectureOfObject({ header, symbols }: ElfModel): Architecture | undefined {
  const arch = architectureOfElf(header);
  const isOther = arch?.otherSet && symbols.some(({ name }) => arch.objectCode.otherSet?.(name) !== undefined);
  return isOther ? arch.otherSet : arch;
}

/** By the same of a module, and by its vermagic, which tells of which instruction set the kernel is that it is for. */
export function architectureOfModule(
  header: { class: 32 | 64; machine: number },
  vermagic: string,
): Architecture | undefined {
  const arch = architectureOfElf(header);
  const word = arch?.otherSet?.codeInVermagic;
  return word !== undefined && vermagic.split(' ').includes(word) ? arch!.otherSet : arch;
}
