// A leak must be found among what a kernel holds anyway: the stress run is worth no more than this comparison.

import { expect, it } from 'vitest';
import { grown, readHoldings } from './stress-holdings.ts';

const told = (objects: number, areas: number, modules: string) => `slab slabinfo - version: 2.1
slab # name            <active_objs> <num_objs> <objsize>
slab kmalloc-64   ${objects}   4480     64   64    1
slab vmap_area    ${100 + areas}   384     40  102    1
meminfo SUnreclaim:         3696 kB
vmalloc 85
unpurged ${areas}
${modules}`;
const before = readHoldings(told(4000, 2, 'exact module suture 53248 0'));

it('reads what the guest prints', () => {
  expect(before).toEqual({
    slab: new Map([
      ['kmalloc-64', { inUse: 4000, perSlab: 64 }],
      ['vmap_area', { inUse: 100, perSlab: 102 }],
    ]),
    slabKilobytes: 3696,
    vmallocAreas: 85,
    exact: ['module suture 53248 0'],
  });
});

it('finds one object lost a cycle, and takes no notice of a few slabs', () => {
  const after = readHoldings(told(5000, 90, 'exact module suture 53248 0'));
  expect(grown(before, after, 1000)).toEqual(['kmalloc-64: 1000 objects more']);
  expect(grown(before, readHoldings(told(4200, 2, 'exact module suture 53248 0')), 1000)).toEqual([]);
});

it('finds one reference that was not given back', () => {
  const after = readHoldings(told(4000, 2, 'exact module suture 53248 1'));
  expect(grown(before, after, 1000)).toEqual(['now: module suture 53248 1', 'no longer: module suture 53248 0']);
});
