// Where the kernel has what a patch refers to and does not bring: image-places.ts for files of vmlinux, module-places.ts for
// those of modules.

import type { Piece } from '../diff/diff.ts';
import type { ElfSymbol } from '../elf/model.ts';

/** A function of the kernel as `struct klp_func` names it; `module` is '' for vmlinux. */
export interface OldName {
  readonly oldName: string;
  readonly sympos: number;
  readonly module: string;
}

/** As one file of the kernel sees it. All throw `ReasonError` for what cannot be reached. */
export interface KernelPlaces {
  /** What the kernel calls a function of the original object that is to be replaced. */
  replaced(piece: Piece): OldName;
  /** The symbol to relocate against for a piece of the original object. */
  original(piece: Piece): ElfSymbol;
  /** The same for what another object of the kernel defines. */
  external(symbol: ElfSymbol): ElfSymbol;
  /** Whether the kernel's loader finds a name by itself. */
  isExported(name: string): boolean;
}
