// Relocatable objects written as text, for tests of what is told from symbols and relocations alone.
//
//     code f                function f in a section of its own; `code f notrace` has no call site, `code f init` is start-up code
//       call g                a call: of a function of the object, or of another file's
//       use count.3           the address of a variable
//       use "text"            that of a string
//       number 5              a number as the second argument
//       word 60000000         any other word
//     data count.3 4        a variable of 4 zero bytes; `data limit 4 const` cannot be written
//       pointer f             a pointer in it, one after the other
//       value 7               a byte

import {
  EM_PPC64,
  ET_REL,
  SHF_ALLOC,
  SHF_EXECINSTR,
  SHF_MERGE,
  SHF_STRINGS,
  SHF_WRITE,
  SHT_PROGBITS,
  STB_LOCAL,
  STT_FUNC,
  STT_OBJECT,
  STT_SECTION,
} from '../../src/elf/constants.ts';
import { newModel, newSection, newSymbol, setData } from '../../src/elf/elf.ts';
import type { ElfModel, ElfSymbol, Section } from '../../src/elf/model.ts';

/** R_PPC64_REL24, R_PPC64_ADDR16_LO, R_PPC64_ADDR64. */
const [callType, useType, pointerType] = [10, 4, 38] as const;
const [bl, addi, liSecond] = [0x48000001, 0x38630000, 0x38800000] as const;

/** An object of that text, for ppc64le. */
export function textObject(text: string): ElfModel {
  const model = newModel({ class: 64, type: ET_REL, machine: EM_PPC64, osAbi: 0, abiVersion: 0, entry: 0n, flags: 2 });
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const symbols = new Map<string, ElfSymbol>();
  const strings = newSection('.rodata.str1.1', SHT_PROGBITS, SHF_ALLOC | SHF_MERGE | SHF_STRINGS, undefined, {
    entrySize: 1,
  });
  const stringSymbol = newSymbol('', { binding: STB_LOCAL, type: STT_SECTION, place: strings });
  const characters: number[] = [];

  for (const line of lines) {
    const [kind, name, size = '0', how] = line.trim().split(' ');
    if (kind === 'code') {
      const at = size === 'init' ? '.init.text' : '.text';
      const section = newSection(`${at}.${name}`, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, undefined, { align: 4 });
      symbols.set(
        name!,
        newSymbol(name!, { type: STT_FUNC, place: section, binding: name!.includes('.') ? STB_LOCAL : 1 }),
      );
      model.sections.push(section);
    } else if (kind === 'data') {
      const flags = how === 'const' ? SHF_ALLOC : SHF_ALLOC | SHF_WRITE;
      const section = newSection(
        `.${how === 'const' ? 'rodata' : 'data'}.${name}`,
        SHT_PROGBITS,
        flags,
        new Uint8Array(Number(size)),
        { align: 4 },
      );
      symbols.set(
        name!,
        newSymbol(name!, { type: STT_OBJECT, place: section, binding: STB_LOCAL, size: BigInt(size) }),
      );
      model.sections.push(section);
    }
  }
  model.sections.push(strings);
  model.symbols.push(stringSymbol, ...symbols.values());
  const symbol = (name: string): ElfSymbol => {
    const known = symbols.get(name);
    if (known) return known;
    const made = newSymbol(name);
    symbols.set(name, made);
    model.symbols.push(made);
    return made;
  };

  let section: Section | undefined;
  let own: ElfSymbol | undefined;
  let at = 0;
  const word = (value: number) => {
    const data = new Uint8Array(section!.data.length + 4);
    data.set(section!.data);
    new DataView(data.buffer).setUint32(section!.data.length, value, true);
    setData(section!, data);
    own!.size = BigInt(data.length);
  };
  const relocate = (type: number, to: ElfSymbol, offset: number, addend = 0) =>
    section!.relocations.push({ offset, type, symbol: to, addend: BigInt(addend) });
  for (const line of lines) {
    const [kind, what = '', option] = line.trim().split(/ (?=(?:[^"]*"[^"]*")*[^"]*$)/);
    const end = section?.data.length ?? 0;
    switch (kind) {
      case 'code':
      case 'data':
        own = symbols.get(what)!;
        section = own.place as Section;
        at = 0;
        if (kind === 'data' || option !== undefined) break;
        relocate(callType, symbol('_mcount'), 0);
        word(bl);
        break;
      case 'call':
        relocate(callType, symbol(what), end);
        word(bl);
        break;
      case 'use':
        if (what.startsWith('"')) {
          relocate(useType, stringSymbol, end, characters.length);
          characters.push(...new TextEncoder().encode(`${what.slice(1, -1)}\0`));
        } else relocate(useType, symbol(what), end);
        word(addi);
        break;
      case 'number':
        word(liSecond | Number(what));
        break;
      case 'word':
        word(Number.parseInt(what, 16));
        break;
      case 'pointer':
        relocate(pointerType, symbol(what), at);
        at += 8;
        break;
      case 'value':
        section!.data[at++] = Number(what);
        break;
      default:
        throw new Error(`not a line of an object: ${line}`);
    }
  }
  setData(strings, Uint8Array.from(characters));
  return model;
}
