// Figures are compared between runs and machines, so what a table says must be what was measured.

import { expect, test } from 'vitest';
import { best, cells, ratio, shown } from './bench.ts';
import { shares } from './source-patch.ts';

test('A figure has three digits, more only before the point', () => {
  expect([1234567, 123.4, 12.34, 1.234, 0.01234, undefined].map(shown)).toEqual([
    ...['1,234,567', '123', '12.3', '1.23', '0.01', ''],
  ]);
});

test('A table has a column for each figure that any row has, and marks what is beyond its limit', () => {
  const rows = [
    { what: 'a', figures: { 'wall ms': 5, 'peak MB': 300 } },
    { what: 'b', figures: { 'wall ms': 50, 'functions/s': 7 } },
    { what: 'c', figures: {}, missing: 'there is no compiler' },
  ];
  expect(cells({ limits: { 'wall ms': 10 } }, rows)).toEqual([
    ['', 'wall ms', 'peak MB', 'functions/s'],
    ['a', '5.00', '300', ''],
    ['b', '50.0 !', '', '7.00'],
    ['c', 'there is no compiler'],
  ]);
});

test('The best run is taken whole', () => {
  const runs = [
    { 'wall ms': 3, 'peak MB': 9 },
    { 'wall ms': 2, 'peak MB': 20 },
    { 'wall ms': 4, 'peak MB': 1 },
  ];
  expect(best(runs, 'wall ms')).toEqual({ 'wall ms': 2, 'peak MB': 20 });
});

test('A ratio to nothing is none', () => {
  expect(ratio(6, 3)).toBe(2);
  expect(ratio(6, 0)).toBeUndefined();
  expect(ratio(undefined, 3)).toBeUndefined();
});

test('What a build has run is shared out, and what runs beside a compiler costs no more', () => {
  const log = [
    'gcc 1 10.0 11.0 0.5 0.1 -Wp,-MMD -c -o fs/a.o /src/fs/a.c',
    // Kbuild asks what the compiler can; that is Kbuild's own time.
    'gcc 1 11.0 11.5 0.2 0.0 -Werror -c -x c /dev/null -o .tmp',
    'make 1 9.5 12.0 0.8 0.2 -f scripts/Makefile.build',
    'make 0 9.0 12.0 1.0 0.3 --silent fs/a.o',
    'gcc 0 11.5 12.5 0.4 0.0 -O2 -c -o b.o /src/fs/a.c -gbtf',
    '',
  ].join('\n');
  const { compiles, ...times } = shares(5000, 700, log);
  expect(compiles).toBe(2);
  expect(Object.entries(times).map(([name, value]) => `${name} ${Math.round(Number(value))}`)).toEqual([
    'wall ms 5000',
    'compilers ms 2000',
    'Kbuild ms 1500',
    'own ms 1500',
    'beyond ms 3000',
    'compilers CPU ms 1000',
    'Kbuild CPU ms 700',
    'own CPU ms 700',
    'beyond CPU ms 1400',
  ]);
});
