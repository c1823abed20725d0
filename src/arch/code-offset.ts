// Where a symbol is. The symbol of a function says what a pointer to the function is, which on some machines is not the address of
// its code: in Thumb code bit 0 is set (`Architecture.codeBit`).

import { STT_FUNC } from '../elf/constants.ts';
import type { ElfSymbol } from '../elf/model.ts';

/** A symbol's section offset, or in an image its address, where its code or data begins. */
export const codeOffset = (
  { type, value }: Pick<ElfSymbol, 'type' | 'value'>,
  { codeBit = 0n }: { readonly codeBit?: bigint },
): bigint => (type === STT_FUNC && codeBit !== 0n ? value & ~codeBit : value);
