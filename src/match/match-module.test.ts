// A module is several objects one behind another, and some of their functions are alike word by word. Which is an object's own,
// only what it refers to tells; a wrong guess would refuse a good build, or bind a patch to another file's data.

import { expect, it } from 'vitest';
import { ppc64le } from '../arch/ppc64le/ppc64le.ts';
import {
  SHF_ALLOC,
  SHF_EXECINSTR,
  SHF_WRITE,
  SHT_PROGBITS,
  STB_LOCAL,
  STT_FUNC,
  STT_OBJECT,
} from '../elf/constants.ts';
import { newModel, newSection, newSymbol } from '../elf/elf.ts';
import type { ElfModel } from '../elf/model.ts';
import { matchModule } from './match-module.ts';

/** R_PPC64_ADDR16_LO, and `addi r3,r3,0`. */
const [useType, addi] = [4, 0x38630000] as const;

/** Objects as `ld -r` puts them together, of functions of one word that use data: `f uses x`; what ends in .part lies apart. */
function moduleOf(...objects: readonly (readonly string[])[]): ElfModel {
  const model = newModel({ class: 64, type: 1, machine: 21, osAbi: 0, abiVersion: 0, entry: 0n, flags: 2 });
  const lines = objects.flatMap((object) => object.map((line) => line.split(' uses ') as [string, string]));
  const sections = new Map(
    ['.text', '.text.unlikely', '.data'].map((name) => {
      const used = name === '.data' ? lines : lines.filter(([f]) => f.endsWith('.part') === (name !== '.text'));
      const flags = name === '.data' ? SHF_ALLOC | SHF_WRITE : SHF_ALLOC | SHF_EXECINSTR;
      return [name, newSection(name, SHT_PROGBITS, flags, new Uint8Array(4 * used.length), { align: 4 })];
    }),
  );
  const ends = new Map<string, number>();
  for (const object of objects) {
    for (const line of object) {
      const [name, data] = line.split(' uses ') as [string, string];
      const own = sections.get(name.endsWith('.part') ? '.text.unlikely' : '.text')!;
      const [at, dataAt] = [ends.get(own.name) ?? 0, ends.get('.data') ?? 0];
      const rest = { binding: STB_LOCAL, size: 4n };
      const place = sections.get('.data')!;
      let symbol = model.symbols.find((each) => each.name === data && object.includes(`${name} uses ${data}`));
      if (!symbol) {
        symbol = newSymbol(data, { ...rest, type: STT_OBJECT, place, value: BigInt(dataAt) });
        ends.set('.data', dataAt + 4);
        model.symbols.push(symbol);
      }
      model.symbols.push(newSymbol(name, { ...rest, type: STT_FUNC, place: own, value: BigInt(at) }));
      new DataView(own.data.buffer).setUint32(at, addi, true);
      own.relocations.push({ offset: at, type: useType, symbol, addend: 0n });
      ends.set(own.name, at + 4);
    }
  }
  model.sections.push(...sections.values());
  return model;
}

it('takes the one of several like functions that refers to what its object has', () => {
  const own = ['g uses mine', 'tiny.part uses mine'];
  const module = moduleOf(['f uses theirs', 'tiny.part uses theirs'], own);
  const object = moduleOf(own);
  const { regions, placeOf } = matchModule(object, module, ppc64le);
  expect(regions.map(({ name, verdict }) => [name, verdict])).toEqual([
    ['g', 'same'],
    ['tiny.part', 'same'],
  ]);
  expect(placeOf(object.symbols.find(({ name }) => name === 'tiny.part')!)).toMatchObject({ offset: 4 });
});
