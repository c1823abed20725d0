// Section A5.5, block transfers. The lowest register always has the lowest address. A list of one register on SP! is
// not PUSH or POP but the plain form, which objdump calls by its stack name.

import { withNumber } from '../machine.ts';
import { type AllFields, PC, type Row, row, type Semantics, SP } from './row.ts';
import { checkWordAligned, readRegister, writeRegister } from './state.ts';

const registerCount = (list: number): number => {
  let count = 0;
  for (let rest = list; rest !== 0; rest &= rest - 1) count++;
  return count;
};
const inList = (register: number, list: number): boolean => (list & (1 << register)) !== 0;
const registersIn = (list: number): number[] => Array.from({ length: 16 }, (_, n) => n).filter((n) => inList(n, list));

// Where the lowest word lies, and what the base becomes, from the base and the size of the block (section A8.8.58 on).

interface Mode {
  readonly lowest: (size: number) => number;
  readonly up: boolean;
}

const incrementAfter: Mode = { lowest: () => 0, up: true };
const incrementBefore: Mode = { lowest: () => 4, up: true };
const decrementAfter: Mode = { lowest: (size) => 4 - size, up: false };
const decrementBefore: Mode = { lowest: (size) => -size, up: false };

/** The base and whether it is written back, where the row has them in no field. */
type Fixed = Partial<Pick<AllFields, 'Rn' | 'W'>>;

const block =
  (what: 'load' | 'store', mode: Mode, fixed: Fixed = {}): Semantics =>
  (m, given) => {
    const f = { ...given, ...fixed };
    const registers = registersIn(f.register_list);
    const size = 4 * registers.length;
    const base = m.read(f.Rn);
    checkWordAligned(m, base);
    const places = registers.map((_, i) => withNumber(m, 'add', base, mode.lowest(size) + 4 * i));
    const after = withNumber(m, 'add', base, mode.up ? size : -size);
    if (what === 'store') {
      const values = registers.map((register) => readRegister(m, register));
      values.forEach((value, i) => {
        m.store(places[i]!, 4, value);
      });
      if (f.W) m.write(f.Rn, after);
    } else {
      const values = places.map((place) => m.load(place, 4));
      if (f.W) m.write(f.Rn, after);
      values.forEach((value, i) => {
        writeRegister(m, registers[i]!, value);
      });
    }
  };

const pushed: Fixed = { Rn: SP, W: 1 };

const badBlock = (f: AllFields): boolean => f.Rn === PC || f.register_list === 0;
const badBlockLoad = (f: AllFields): boolean => badBlock(f) || (f.W === 1 && inList(f.Rn, f.register_list));
/**
 * Storing the base after it was changed stores an UNKNOWN value: only the lowest register of the list is stored
 * before.
 */
const badBlockStore = (f: AllFields): boolean =>
  badBlock(f) || (f.W === 1 && inList(f.Rn, f.register_list & (f.register_list - 1)));
const isOne = (f: AllFields): boolean => registerCount(f.register_list) === 1;
const isNotOne = (f: AllFields): boolean => !isOne(f);
const store = { unpredictable: badBlockStore };
const load = { unpredictable: badBlockLoad };

export const blockTransfers: readonly Row[] = [
  row(
    'PUSH',
    'A8.8.133',
    'PUSH<c> <registers>',
    'cond 100 1 0 0 1 0 1101 register_list',
    block('store', decrementBefore, pushed),
    {
      unless: isOne,
      unpredictable: (f) => f.register_list === 0 || inList(SP, f.register_list & (f.register_list - 1)),
    },
  ),
  row(
    'POP',
    'A8.8.132',
    'POP<c> <registers>',
    'cond 100 0 1 0 1 1 1101 register_list',
    block('load', incrementAfter, pushed),
    { unless: isOne, unpredictable: (f) => f.register_list === 0 || inList(SP, f.register_list) },
  ),
  row(
    'STMDB, PUSH',
    'A8.8.201',
    'STMFD<c> SP!, <registers>',
    'cond 100 1 0 0 1 0 1101 register_list',
    block('store', decrementBefore, pushed),
    { unless: isNotOne },
  ),
  row(
    'LDM, POP',
    'A8.8.58',
    'LDMFD<c> SP!, <registers>',
    'cond 100 0 1 0 1 1 1101 register_list',
    block('load', incrementAfter, pushed),
    { unless: isNotOne, unpredictable: (f) => inList(SP, f.register_list) },
  ),
  row(
    'STM',
    'A8.8.199',
    'STM<c> <Rn>, <registers>',
    'cond 100 0 1 0 0 0 Rn register_list',
    block('store', incrementAfter, { W: 0 }),
    { unpredictable: badBlock },
  ),
  row(
    'STM, write-back',
    'A8.8.199',
    'STMIA<c> <Rn>!, <registers>',
    'cond 100 0 1 0 1 0 Rn register_list',
    block('store', incrementAfter, { W: 1 }),
    { unpredictable: (f) => badBlockStore({ ...f, W: 1 }) },
  ),
  row(
    'STMDA',
    'A8.8.200',
    'STMDA<c> <Rn>{!}, <registers>',
    'cond 100 0 0 0 W 0 Rn register_list',
    block('store', decrementAfter),
    store,
  ),
  row(
    'STMDB',
    'A8.8.201',
    'STMDB<c> <Rn>{!}, <registers>',
    'cond 100 1 0 0 W 0 Rn register_list',
    block('store', decrementBefore),
    store,
  ),
  row(
    'STMIB',
    'A8.8.202',
    'STMIB<c> <Rn>{!}, <registers>',
    'cond 100 1 1 0 W 0 Rn register_list',
    block('store', incrementBefore),
    store,
  ),
  row(
    'LDM',
    'A8.8.58',
    'LDM<c> <Rn>{!}, <registers>',
    'cond 100 0 1 0 W 1 Rn register_list',
    block('load', incrementAfter),
    load,
  ),
  row(
    'LDMDA',
    'A8.8.59',
    'LDMDA<c> <Rn>{!}, <registers>',
    'cond 100 0 0 0 W 1 Rn register_list',
    block('load', decrementAfter),
    load,
  ),
  row(
    'LDMDB',
    'A8.8.60',
    'LDMDB<c> <Rn>{!}, <registers>',
    'cond 100 1 0 0 W 1 Rn register_list',
    block('load', decrementBefore),
    load,
  ),
  row(
    'LDMIB',
    'A8.8.61',
    'LDMIB<c> <Rn>{!}, <registers>',
    'cond 100 1 1 0 W 1 Rn register_list',
    block('load', incrementBefore),
    load,
  ),
];
