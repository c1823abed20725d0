// A leak must be found among what a kernel holds anyway: the stress run is worth no more than this comparison.

import { expect, it } from 'vitest';
import { grown, growth, readHoldings } from './stress-holdings.ts';

const told = (objects: number, areas: number, modules: string) => `slab kmalloc-64 ${objects}
slab vmap_area ${100 * areas}
meminfo SUnreclaim:         3696 kB
vmalloc ${areas}
${modules}`;
const core = 'exact module suture 53248 0';
const before = readHoldings(told(4000, 85, core));

it('reads what the guest prints', () => {
  expect(before).toEqual({
    slab: new Map([['kmalloc-64', 4000]]),
    slabKilobytes: 3696,
    vmallocAreas: 85,
    exact: ['module suture 53248 0'],
  });
});

it('finds one object lost in every tenth of 1,000 cycles, and takes no notice of a few', () => {
  expect(grown(before, readHoldings(told(4100, 85, core)))).toEqual(['kmalloc-64: 100 objects more']);
  expect(grown(before, readHoldings(told(4064, 93, core)))).toEqual([]);
});

it('finds memory of modules that was not given back', () => {
  expect(grown(before, readHoldings(told(4000, 94, core)))).toEqual(['vmalloc: 9 areas more']);
});

it('finds a cache that was not there', () => {
  const after = readHoldings(`${told(4000, 85, core)}\nslab new-cache 65`);
  expect(grown(before, after)).toEqual(['new-cache: 65 objects more']);
});

it('allows what a run without patches came to hold, and no more than that', () => {
  const baseline = growth(before, readHoldings(told(4500, 105, core)));
  expect(grown(before, readHoldings(told(4564, 113, core)), baseline)).toEqual([]);
  expect(grown(before, readHoldings(told(4565, 114, core)), baseline)).toEqual([
    'kmalloc-64: 565 objects more',
    'vmalloc: 29 areas more',
  ]);
});

it('does not hold it against a phase that the run without patches came to hold less', () => {
  const baseline = growth(before, readHoldings(told(3000, 50, core)));
  expect(grown(before, readHoldings(told(4064, 93, core)), baseline)).toEqual([]);
});

it('finds one reference that was not given back', () => {
  const after = readHoldings(told(4000, 85, 'exact module suture 53248 1'));
  expect(grown(before, after)).toEqual(['now: module suture 53248 1', 'no longer: module suture 53248 0']);
});
