// Whether a build is trusted hangs on this comparison, and so does where a patch finds data that no symbol table has. Each
// case is a few words of code as compiled and as linked, so that what must be found can be worked out by hand.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Architecture } from '../arch/arch.ts';
import { architectureByName } from '../arch/architectures.ts';
import {
  SHF_ALLOC,
  SHF_EXECINSTR,
  SHF_MERGE,
  SHF_STRINGS,
  SHF_WRITE,
  SHT_PROGBITS,
  STB_GLOBAL,
  STB_WEAK,
  STT_FUNC,
  STT_OBJECT,
} from '../elf/constants.ts';
import { cStringBytes, newModel, newSection, newSymbol } from '../elf/elf.ts';
import type { ElfModel, ElfSymbol, Relocation, Section } from '../elf/model.ts';
import { type LinkAddress, linkAddress } from '../elf/units.ts';
import type { KernelImage } from '../kernel/image.ts';
import { matchObject } from './match.ts';

/** Words of eight digits, halfwords of four, each little-endian. */
const wordsOf = (text: string): Uint8Array =>
  Uint8Array.from(
    text
      .trim()
      .split(/\s+/)
      .flatMap((word) =>
        word
          .match(/../g)!
          .map((byte) => Number.parseInt(byte, 16))
          .reverse(),
      ),
  );

const relocationNamed = (arch: Architecture, name: string): number => {
  const type = Array.from({ length: 256 }, (_, i) => i).find((each) => arch.relocationKind(each)?.name === name);
  if (type === undefined) throw new Error(`no relocation ${name}`);
  return type;
};

/** The object above `image`. */
function readObject(lines: readonly string[], arch: Architecture): ElfModel {
  const { class: bits, machine } = arch.elf;
  const object = newModel({ class: bits, type: 1, machine, osAbi: 0, abiVersion: 0, entry: 0n, flags: 0 });
  const symbols = new Map<string, ElfSymbol>();
  const symbol = (name: string): ElfSymbol => {
    const known = symbols.get(name) ?? newSymbol(name);
    symbols.set(name, known);
    return known;
  };
  const define = (name: string, place: Section, value: number, size: number, rest: Partial<ElfSymbol>): void => {
    Object.assign(symbol(name), { place, value: BigInt(value), size: BigInt(size), ...rest });
  };
  const text = newSection('.text', SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR);
  const strings = newSection('.rodata.str', SHT_PROGBITS, SHF_ALLOC | SHF_MERGE | SHF_STRINGS, undefined, {
    entrySize: 1,
  });
  const table = newSection(arch.objectCode.toc?.section ?? '.none', SHT_PROGBITS, SHF_ALLOC | SHF_WRITE);
  const append = (section: Section, bytes: Uint8Array): number => {
    const at = section.size;
    section.data = Uint8Array.from([...section.data, ...bytes]);
    section.size = section.data.length;
    return at;
  };
  const relocation = (offset: number, type: string, name: string): Relocation => ({
    offset,
    type: relocationNamed(arch, type),
    symbol: symbol(name),
    addend: arch.elf.rela ? 0n : undefined,
  });
  object.sections.push(text, strings, table);
  let current: ElfSymbol | undefined;
  for (const line of lines) {
    const data = /^(data|text|slot) (\w+): (.*)$/.exec(line);
    const start = /^(weak )?(\w+):$/.exec(line);
    if (data) {
      const [, kind, name, value] = data;
      if (kind === 'data') {
        const [word, type, to] = value!.split(' ');
        const section = newSection(`.data.${name}`, SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, wordsOf(word!));
        if (type) section.relocations.push(relocation(0, type, to!));
        object.sections.push(section);
        define(name!, section, 0, section.size, { type: STT_OBJECT });
      } else if (kind === 'text') {
        define(name!, strings, append(strings, cStringBytes(value!)), 0, { type: STT_OBJECT });
      } else {
        const at = append(table, new Uint8Array(8));
        define(name!, table, at, 8, { type: STT_OBJECT });
        table.relocations.push(relocation(at, 'R_PPC64_ADDR64', value!));
      }
    } else if (start) {
      const value = text.size | Number(arch.codeBit);
      define(start[2]!, text, value, 0, { type: STT_FUNC, binding: start[1] ? STB_WEAK : STB_GLOBAL });
      current = symbol(start[2]!);
    } else {
      const [word, type, name] = line.trim().split(/\s+/);
      const bytes = wordsOf(word!);
      const at = append(text, bytes);
      if (type?.startsWith('R_')) text.relocations.push(relocation(at, type, name!));
      current!.size += BigInt(bytes.length);
    }
  }
  object.symbols.push(...symbols.values());
  return object;
}

/** The image below it. */
function readImage(lines: readonly string[]): KernelImage {
  const bytes = new Map<bigint, number>();
  const kallsyms: { name: string; type: string; address: LinkAddress }[] = [];
  for (const line of lines) {
    const [kind, first, ...rest] = line.split(/\s+/);
    const type = kind === 'local' ? 't' : 'T';
    if (kind !== 'at') kallsyms.push({ name: first!, type, address: linkAddress(BigInt(`0x${rest[0]}`)) });
    else for (const [i, byte] of wordsOf(rest.join(' ')).entries()) bytes.set(BigInt(`0x${first}`) + BigInt(i), byte);
  }
  kallsyms.sort((a, b) => (a.address < b.address ? -1 : 1));
  const read = (address: bigint, size: number): Uint8Array | undefined => {
    const found = Array.from({ length: size }, (_, i) => bytes.get(address + BigInt(i)));
    return found.includes(undefined) ? undefined : Uint8Array.from(found as number[]);
  };
  return {
    kallsyms: kallsyms.filter(({ name }) => name !== '.TOC.'),
    exports: new Map(),
    textRanges: [{ start: 0xc0000000n, end: 0xc0800000n }],
    bytes: read,
    word: (address: bigint) => {
      const found = read(address, 4);
      return found && new DataView(found.buffer).getUint32(0, true);
    },
    symbol: (name: string) => kallsyms.find((each) => each.name === name)?.address,
    section: () => undefined,
    enclosing: (address: bigint) => {
      const found = kallsyms.findLast((each) => each.address <= address);
      return found && { name: found.name, start: found.address, end: linkAddress(found.address + 0x1000n) };
    },
  } as unknown as KernelImage;
}

function outcome(input: string): string {
  const [name, ...lines] = input.split('\n').filter((line) => line.trim() !== '');
  const arch = name === 'thumb' ? architectureByName('arm').otherSet! : architectureByName(name!)!;
  const middle = lines.indexOf('image');
  const object = readObject(lines.slice(0, middle), arch);
  const match = matchObject(object, readImage(lines.slice(middle + 1)), arch);
  const regions = match.regions.map(({ name, verdict, difference }) =>
    [name, verdict, ...(difference ? [`+${difference.offset}: ${difference.message}`] : [])].join(' '),
  );
  const own = (symbol: ElfSymbol) =>
    symbol.type === STT_FUNC && match.regions.some((r) => r.name === symbol.name && r.verdict !== 'overridden');
  const found = object.symbols.flatMap((symbol) => {
    const address = own(symbol) || symbol.name === 'slot' ? undefined : match.addressOf(symbol);
    return address === undefined ? [] : [`${symbol.name} 0x${address.toString(16)}`];
  });
  return [...regions, ...found].join('\n');
}

describe('an object compared with an image', () => {
  const cases = readFileSync(new URL('match.txt', import.meta.url), 'utf8')
    .split(/^# /m)
    .slice(1);
  it.each(
    cases.map((text): [string, string, string] => {
      const [input, expected] = text.slice(text.indexOf('\n')).split(/^==>$/m);
      return [text.slice(0, text.indexOf('\n')), input!, expected!.trim()];
    }),
  )('%s', (_, input, expected) => expect(outcome(input)).toBe(expected));
});
