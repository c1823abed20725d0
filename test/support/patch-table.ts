// The table of a patch module, as a test reads and damages it: words by their offset in the section of the table.

import { findSection } from '../../src/elf/elf.ts';
import type { ElfModel } from '../../src/elf/model.ts';
import { patchSection, tableLayout } from '../../src/kernel/patch-module.ts';

export class PatchTable {
  readonly model: ElfModel;
  readonly layout: ReturnType<typeof tableLayout>;

  constructor(model: ElfModel) {
    this.model = model;
    this.layout = tableLayout((model.header.class / 8) as 4 | 8);
  }

  /** Where a pointer of the table leads in its own section. */
  follow(offset: number): number {
    const section = findSection(this.model, patchSection)!;
    const { symbol, addend } = section.relocations.find((each) => each.offset === offset)!;
    const inPlace = new DataView(section.data.buffer, section.data.byteOffset).getInt32(offset, true);
    return Number(symbol!.value + (addend ?? BigInt(inPlace)));
  }

  /** Where the one `suture_entry` is. */
  get entry(): number {
    return this.follow(this.layout.suture_patch_table.offset.entry);
  }

  /** Where the first redirect is. */
  get redirect(): number {
    const { suture_patch_table: table, suture_object: object } = this.layout;
    return this.follow(this.follow(table.offset.objects) + object.offset.redirects);
  }

  /** Changes 32 bits. */
  put(offset: number, change: (word: number) => number): void {
    const { data } = findSection(this.model, patchSection)!;
    const view = new DataView(data.buffer, data.byteOffset);
    view.setUint32(offset, change(view.getUint32(offset, true)), true);
  }
}
