// Kernel images made for tests: small, but with everything in them that a reader of images looks for, laid out as the
// kernel's build lays it out.

/** Bytes one behind the other. */
class Writer {
  readonly #bytes: number[] = [];
  readonly word: 4 | 8;

  constructor(word: 4 | 8) {
    this.word = word;
  }

  get at(): number {
    return this.#bytes.length;
  }

  align(size: number): number {
    while (this.#bytes.length % size) this.#bytes.push(0);
    return this.at;
  }

  bytes(...bytes: number[]): void {
    this.#bytes.push(...bytes.map((byte) => byte & 0xff));
  }

  number(value: number | bigint, size: number): void {
    for (let i = 0n; i < BigInt(size); i++) this.bytes(Number((BigInt(value) >> (8n * i)) & 0xffn));
  }

  u32(value: number): void {
    this.number(value, 4);
  }

  pointer(value: bigint): void {
    this.number(value, this.word);
  }

  text(text: string): number {
    const { at } = this;
    this.bytes(...new TextEncoder().encode(text), 0);
    return at;
  }

  done(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

export interface MadeSymbol {
  readonly address: bigint;
  readonly type: string;
  readonly name: string;
}

/** Where kernels have had the tables of kallsyms: before 6.2, since then, and from 6.4 on. */
export type KallsymsLayout = 'plain' | 'sequences' | 'offsets-last';

/** Every code is a token: printable ones for themselves, one for a prefix, the rest for nothing that is used. */
const prefixCode = 1;
const prefix = 'sys_';
const tokens = Array.from({ length: 256 }, (_, code) => {
  if (code === prefixCode) return prefix;
  return code > 0x20 && code < 0x7f ? String.fromCharCode(code) : `unused${code}`;
});

/** The tables of kallsyms for symbols in ascending order of address. */
export function makeKallsyms(symbols: readonly MadeSymbol[], word: 4 | 8, layout: KallsymsLayout): Uint8Array {
  const out = new Writer(word);
  writeKallsyms(out, symbols, layout);
  return out.done();
}

function writeKallsyms(out: Writer, symbols: readonly MadeSymbol[], layout: KallsymsLayout): void {
  const base = symbols[0]?.address ?? 0n;
  const offsets = () => {
    out.align(out.word);
    for (const { address } of symbols) out.u32(Number(address - base));
    out.align(out.word);
    out.pointer(base);
  };
  out.align(out.word);
  if (layout !== 'offsets-last') offsets();
  out.u32(symbols.length);
  out.align(out.word);
  const start = out.at;
  const markers: number[] = [];
  symbols.forEach(({ type, name }, i) => {
    if (i % 256 === 0) markers.push(out.at - start);
    const spelled = type + name;
    const codes = [...spelled.replaceAll(prefix, String.fromCharCode(prefixCode))].map((c) => c.charCodeAt(0));
    if (codes.length < 0x80) out.bytes(codes.length);
    else out.bytes(codes.length | 0x80, codes.length >> 7);
    out.bytes(...codes);
  });
  out.align(out.word);
  for (const marker of markers) out.u32(marker);
  out.align(out.word);
  if (layout === 'sequences') for (let i = 0; i < symbols.length; i++) out.bytes(i >> 16, i >> 8, i);
  out.align(out.word);
  let next = 0;
  const index = tokens.map((token) => {
    const at = next;
    next += token.length + 1;
    out.text(token);
    return at;
  });
  out.align(out.word);
  for (const at of index) out.number(at, 2);
  if (layout === 'offsets-last') offsets();
}

export interface MadeExport {
  readonly name: string;
  readonly address: bigint;
  readonly crc: number;
  readonly gplOnly: boolean;
  readonly namespace: string;
}

export interface MadeKernel {
  readonly word: 4 | 8;
  readonly base: bigint;
  readonly symbols: readonly MadeSymbol[];
  readonly exports: readonly MadeExport[];
  readonly layout: KallsymsLayout;
  readonly modversions: boolean;
  readonly release: string;
  readonly buildId: Uint8Array;
}

const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1);

/** The tables in the order that `exports.ts` gives them back. */
export const inTableOrder = (exports: readonly MadeExport[]): MadeExport[] => [
  ...exports.filter((each) => !each.gplOnly).sort(byName),
  ...exports.filter((each) => each.gplOnly).sort(byName),
];

/** A raw image: text that is nothing, a banner, two build ids (the first one a vDSO's), kallsyms and exports. */
export function makeImage(kernel: MadeKernel): Uint8Array {
  const out = new Writer(kernel.word);
  for (let i = 0; i < 64; i++) out.u32(0xe1a00000);
  const impostor = out.text('an_impostor');
  out.text('Linux version %s');
  out.text(`Linux version ${kernel.release} (somebody@somewhere) # SMP\n`);
  out.text(`Linux version ${kernel.release} (somebody@somewhere) #1 SMP then\n`);
  out.align(16);
  writeEmbeddedElf(out);
  out.align(4);
  writeBuildId(out, kernel.buildId);
  out.align(16);
  writeKallsyms(out, kernel.symbols, kernel.layout);
  out.align(16);
  writeExports(out, impostor, kernel);
  out.align(16);
  return out.done();
}

function writeBuildId(out: Writer, id: Uint8Array): void {
  out.u32(4);
  out.u32(id.length);
  out.u32(3);
  out.text('GNU');
  out.bytes(...id);
}

/** An ELF32 file of a header, a program header and one note. */
function writeEmbeddedElf(out: Writer): void {
  const headerSize = 52;
  const segmentSize = 32;
  out.bytes(0x7f, 0x45, 0x4c, 0x46, 1, 1, 1);
  out.bytes(...new Array<number>(9).fill(0));
  out.number(3, 2);
  out.number(40, 2);
  for (const word of [1, 0, headerSize, 0, 0]) out.u32(word);
  for (const half of [headerSize, segmentSize, 1, 0, 0, 0]) out.number(half, 2);
  const noteSize = 36;
  for (const word of [4, headerSize + segmentSize, 0, 0, noteSize, noteSize, 4, 4]) out.u32(word);
  writeBuildId(out, new Uint8Array(20).fill(0xee));
}

function writeExports(out: Writer, impostor: number, { base, exports, modversions, word }: MadeKernel): void {
  const sorted = inTableOrder(exports);
  const strings = new Writer(4);
  const stringsAt = out.at + 3 * word + sorted.length * (3 * word + (modversions ? 4 : 0));
  const string = (text: string) => base + BigInt(stringsAt + strings.text(text));
  // In front of the table: what could be an entry, were it not for its namespace.
  for (const pointer of [base, base + BigInt(impostor), 1n]) out.pointer(pointer);
  for (const { address, name, namespace } of sorted) {
    out.pointer(address);
    out.pointer(string(name));
    // As assembly has it, which names no namespace.
    out.pointer(namespace === '' && name.startsWith('__') ? 0n : string(namespace));
  }
  if (modversions) for (const { crc } of sorted) out.u32(crc);
  out.bytes(...strings.done());
}

/** The places in a zImage that its tests change. */
export const zimagePlaces = { magic: 0x24, end: 0x2c, secondMagic: 0x34, tableOffset: 0x38, table: 0x40 } as const;

/** The magics that a decompressor compares with, and which are thus in front of what it unpacks. */
const decoys = [
  [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 0],
  [0x1f, 0x8b, 8, 0, 0, 0, 0, 0],
  [0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0],
  [0x02, 0x21, 0x4c, 0x18, 0, 0, 0, 0],
];

/** A zImage around a packed kernel. gzip ends with the size by itself; to the rest it is appended. */
export function makeZimage(packed: Uint8Array, compression: string, size: number): Uint8Array {
  const out = new Writer(4);
  const start = 0x60 + 8 * decoys.length + 1;
  const sizeAt = start + packed.length - (compression === 'gzip' ? 4 : 0);
  const end = sizeAt + 4 + 32;
  for (let i = 0; i < 9; i++) out.u32(0xe1a00000);
  for (const word of [0x016f2818, 0, end, 0x04030201, 0x45454545, zimagePlaces.table, 0]) out.u32(word);
  for (const word of [6, 0x5a534c4b, sizeAt, 0x1000, 0x8000, 0x10000, 0, 0]) out.u32(word);
  for (const decoy of decoys) out.bytes(...decoy);
  // Packed data begins anywhere.
  out.bytes(0xff, ...packed);
  if (compression !== 'gzip') out.u32(size);
  out.bytes(...new Array<number>(32).fill(0));
  return out.done();
}

/** An ELF32 vmlinux for ARM whose two segments, the second one first in the file, make up an image. No sections. */
export function makeVmlinux(image: Uint8Array, base: bigint, split: number): Uint8Array {
  const out = new Writer(4);
  const headerSize = 52;
  const segmentSize = 32;
  const dataAt = headerSize + 2 * segmentSize;
  const rest = image.length - split;
  out.bytes(0x7f, 0x45, 0x4c, 0x46, 1, 1, 1);
  out.bytes(...new Array<number>(9).fill(0));
  out.number(2, 2);
  out.number(40, 2);
  for (const word of [1, Number(base), headerSize, 0, 0x0500_0000]) out.u32(word);
  for (const half of [headerSize, segmentSize, 2, 0, 0, 0]) out.number(half, 2);
  // type, offset, virtual and physical address, size in the file and in memory, flags, alignment
  for (const word of [1, dataAt, Number(base) + split, Number(base) + split, rest, rest + 0x1000, 7, 4]) out.u32(word);
  for (const word of [1, dataAt + rest, Number(base), Number(base), split, split, 5, 4]) out.u32(word);
  out.bytes(...image.subarray(split), ...image.subarray(0, split));
  return out.done();
}
