// The names that are not in the model because the writer makes them.

import { SHT_RELA } from './constants.ts';

/** The relocation section of `.text` is `.rel.text` or `.rela.text`. */
export function relocationSectionName(target: { readonly name: string }, type: number): string {
  return `${type === SHT_RELA ? '.rela' : '.rel'}${target.name}`;
}
