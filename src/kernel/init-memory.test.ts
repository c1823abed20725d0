// What a patch is bound to must be there when the patch runs: the borders of what a kernel gives back.

import { describe, expect, it } from 'vitest';
import { linkAddress } from '../elf/units.ts';
import { isInitMemory } from './init-memory.ts';

/** As kallsyms without KALLSYMS_ALL tells them, and as a System.map does. */
const inKallsyms = { _stext: 0x1000n, _etext: 0x5000n, _sinittext: 0x8100n, _einittext: 0x9000n };
const inMap = { ...inKallsyms, __init_begin: 0x8000n, __init_end: 0xb000n };
const withCpus = { ...inMap, __per_cpu_start: 0xa000n, __per_cpu_end: 0xa800n };

const among = (known: Readonly<Record<string, bigint>>) => (address: bigint) =>
  isInitMemory(linkAddress(address), (name) => (name in known ? linkAddress(known[name]!) : undefined));

describe('memory that is given back', () => {
  it('is init text, to its last byte', () => {
    const given = among(inKallsyms);
    expect([0x80ffn, 0x8100n, 0x8fffn].map(given)).toEqual([false, true, true]);
  });

  it('is whatever lies behind init text while nobody says where init data ends', () => {
    expect([0x9000n, 0x20000n].map(among(inKallsyms))).toEqual([true, true]);
  });

  it('is all from __init_begin to __init_end where those are known', () => {
    expect([0x7fffn, 0x8000n, 0x9800n, 0xafffn, 0xb000n].map(among(inMap))).toEqual([false, true, true, true, false]);
  });

  it('is not the area of per-CPU data, which has a copy for each CPU', () => {
    expect([0x9fffn, 0xa000n, 0xa7ffn, 0xa800n].map(among(withCpus))).toEqual([true, false, false, true]);
  });

  it('is never the text, wherever that lies', () => {
    const behind = { ...inKallsyms, _stext: 0xc000n, _etext: 0xf000n };
    expect([0x1000n, 0xc000n, 0xefffn, 0xf000n].map(among(behind))).toEqual([false, false, false, true]);
  });

  it('cannot be told of a kernel that names none of it', () => {
    expect(among({})(0x8100n)).toBe(false);
  });
});
