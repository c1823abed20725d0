// Which structures have another layout after a fix. What the running kernel has allocated has the old one, and nothing in the code
// of two objects shows that it is the same memory; so the compiler is asked to describe the types that it used, as BTF.
//
// BTF (include/uapi/linux/btf.h, Linux 6.1; Documentation/bpf/btf.rst): a header, then types one behind another, numbered from 1, each a
// word for the name, one that tells kind and count, one for the size or for another type, and what the kind brings; then strings.
// All little-endian here.

import { findSection } from '../elf/elf.ts';
import type { ElfModel } from '../elf/model.ts';
import { reasonError } from '../reason.ts';

const magic = 0xeb9f;

/** Words that follow the three of a type, `fixed` ones and `each` for every member or parameter; by kind. */
const kinds: Readonly<Record<number, { readonly name: string; readonly fixed?: number; readonly each?: number }>> = {
  1: { name: 'int', fixed: 1 },
  2: { name: 'pointer' },
  3: { name: 'array', fixed: 3 },
  4: { name: 'struct', each: 3 },
  5: { name: 'union', each: 3 },
  6: { name: 'enum', each: 2 },
  7: { name: 'forward' },
  8: { name: 'typedef' },
  9: { name: 'volatile' },
  10: { name: 'const' },
  11: { name: 'restrict' },
  12: { name: 'function' },
  13: { name: 'prototype', each: 2 },
  14: { name: 'variable', fixed: 1 },
  15: { name: 'section', each: 3 },
  16: { name: 'float' },
  17: { name: 'declaration tag', fixed: 1 },
  18: { name: 'type tag' },
  19: { name: 'enum', each: 3 },
};

/** Those that are what another type is. */
const transparent = new Set(['typedef', 'volatile', 'const', 'restrict', 'type tag']);

interface Type {
  readonly kind: string;
  readonly name: string;
  /** A size in bytes, or the number of another type. */
  readonly sizeOrType: number;
  /** Whether members have sizes in bits. */
  readonly flag: boolean;
  readonly rest: readonly number[];
  readonly each: number;
}

/** Deeper than this no structure without a name lies in another, and no file has more members in all. */
const deepest = 32;
const mostMembers = 1_000_000;

/**
 * How structures and unions lie in memory, by `struct NAME` or `union NAME`, or by `typedef NAME` for one that has no other: a text that is
 * the same for the same layout; and what number an enumerator is, by `enumerator NAME`.
 * Undefined for an object that describes no types. Throws `elf-malformed`; `place` names the object.
 */
export function typeLayouts(object: ElfModel, place: string): ReadonlyMap<string, string> | undefined {
  const section = findSection(object, '.BTF');
  if (!section) return undefined;
  const malformed = (what: string) => reasonError('elf-malformed', `${place}: .BTF`, what, 'compile it anew');
  const { types, names } = readTypes(section.data, malformed);

  let described = 0;
  const describe = (id: number, depth: number): string => {
    if (id === 0) return 'void';
    if (++described > mostMembers) throw malformed('it has too many types');
    const type = types[id - 1];
    if (!type || depth === deepest) throw malformed(`type ${id} leads nowhere`);
    const { kind, name, sizeOrType, rest } = type;
    if (transparent.has(kind)) return describe(sizeOrType, depth + 1);
    if (kind === 'pointer') return 'pointer';
    if (kind === 'array') return `${rest[2]} of ${describe(rest[0]!, depth + 1)}`;
    if (kind === 'struct' || kind === 'union') return name === '' ? body(type, depth) : `${kind} ${name}`;
    return `${kind} of ${sizeOrType}`;
  };
  const body = ({ kind, sizeOrType, rest, each, flag }: Type, depth: number): string => {
    const members: string[] = [];
    for (let at = 0; at < rest.length; at += each) {
      const bits = rest[at + 2]!;
      // With the flag: eight bits for the size, the others for the place.
      const where =
        flag && bits >>> 24 !== 0 ? `${bits & 0xffffff}:${bits >>> 24}` : `${bits & (flag ? 0xffffff : ~0)}`;
      members.push(`${names(rest[at]!)} at ${where} ${describe(rest[at + 1]!, depth + 1)}`);
    }
    return `${kind} of ${sizeOrType} {${members.join('; ')}}`;
  };

  const layouts = new Map<string, string>();
  for (const type of types) {
    // What the kernel has stored is a number, and the name says what it means.
    for (let at = 0; type.kind === 'enum' && at < type.rest.length; at += type.each)
      layouts.set(`enumerator ${names(type.rest[at]!)}`, type.rest.slice(at + 1, at + type.each).join());
    const isBody = ({ kind }: Type) => kind === 'struct' || kind === 'union';
    const target = type.kind === 'typedef' ? types[type.sizeOrType - 1] : undefined;
    if (target && isBody(target) && target.name === '') layouts.set(`typedef ${type.name}`, body(target, 0));
    if (!isBody(type) || type.name === '') continue;
    layouts.set(`${type.kind} ${type.name}`, body(type, 0));
  }
  return layouts;
}

/** All types in their order, and the names that offsets in the strings mean. */
function readTypes(data: Uint8Array, malformed: (what: string) => Error) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const word = (at: number): number => {
    if (at + 4 > data.length) throw malformed('it ends too early');
    return view.getUint32(at, true);
  };
  if ((word(0) & 0xffff) !== magic) throw malformed('it is no BTF, or not little-endian');
  const [headerSize, typesAt, typesSize, stringsAt, stringsSize] = [4, 8, 12, 16, 20].map(word) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const strings = data.subarray(headerSize + stringsAt, headerSize + stringsAt + stringsSize);
  const names = (offset: number): string => {
    const end = strings.indexOf(0, offset);
    if (offset >= strings.length || end < 0) throw malformed(`no name is at ${offset}`);
    return new TextDecoder().decode(strings.subarray(offset, end));
  };
  const types: Type[] = [];
  const end = headerSize + typesAt + typesSize;
  for (let at = headerSize + typesAt; at < end; ) {
    const info = word(at + 4);
    const known = kinds[(info >>> 24) & 0x1f];
    if (!known) throw malformed(`kind ${(info >>> 24) & 0x1f} is not known`);
    const { name: kind, fixed = 0, each = 0 } = known;
    const count = fixed + each * (info & 0xffff);
    const rest = Array.from({ length: Math.min(count, data.length) }, (_, i) => word(at + 12 + 4 * i));
    types.push({ kind, name: names(word(at)), sizeOrType: word(at + 8), flag: info >>> 31 !== 0, rest, each });
    at += 12 + 4 * count;
  }
  return { types, names };
}

/** The types that both know and that have another layout in the second. */
export function changedLayouts(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  return [...after].filter(([name, layout]) => (before.get(name) ?? layout) !== layout).map(([name]) => name);
}
