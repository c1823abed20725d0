// ELF machines that have no folder here. Of their code nothing is known but how to tell what a relocation refers to, so that
// two objects can be compared.

import type { ObjectCode, RelocatedPlace } from './arch.ts';

/** R_386_PC32 and PLT32, R_X86_64_PC32 and PLT32: the distance counts from behind the four bytes. */
const fourAhead: ReadonlyMap<number, readonly number[]> = new Map([
  [3, [2, 4]],
  [62, [2, 4]],
]);

/**
 * For an e_machine that Suture does not know. With RELA the place is left as it is; with REL it is taken for a number of four
 * bytes, which is what most such machines have.
 */
export function foreignCode(machine: number, rela: boolean): ObjectCode {
  const place = (lead: number): RelocatedPlace => ({
    size: rela ? 0 : 4,
    mask: 0xffffffff,
    addend: (value) => value | 0,
    lead,
  });
  const [plain, ahead] = [place(0), place(4)];
  return {
    step: 4,
    instructionSize: () => 4,
    relocatedPlace: (type) => (fourAhead.get(machine)?.includes(type) ? ahead : plain),
    branch: () => undefined,
    isJump: () => false,
    loadsArgument: () => undefined,
    isMarker: (name) => name.startsWith('$'),
    padding: [],
    sectionAnchors: false,
    mcount: '',
    tables: [],
  };
}
