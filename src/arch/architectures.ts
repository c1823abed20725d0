// The architectures that Suture knows. Adding one is a folder beside `arm/` and a line here.

import type { Architecture } from './arch.ts';
import { arm } from './arm/arm.ts';

export const architectures: readonly Architecture[] = [arm];

/** By the platform's name, or by the names that the distribution and Kbuild have for it. */
export const architectureByName = (name: string): Architecture | undefined =>
  architectures.find(
    ({ platform }) => platform.name === name || platform.debian.architecture === name || platform.kbuild === name,
  );

/** By what an ELF header says: its class (32 or 64) and e_machine. */
export const architectureOfElf = (header: { class: 32 | 64; machine: number }): Architecture | undefined =>
  architectures.find(({ elf }) => elf.class === header.class && elf.machine === header.machine);
