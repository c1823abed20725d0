// Book I, sections 3.3.2 to 3.3.6: loads and stores of bytes, halfwords, words and doublewords. The address is RA, or 0
// where the field is 0 and the row says `RA|0`, plus a displacement or RB. A form with update writes it back to RA.
// Those of 4.6, of floating point, are known by name. Anything may lie at any address (section 1.11.1; Linux lets the
// processor, or its own handler, do what is not aligned).

import { type Machine, NotUnderstood, type Size, signExtend, withNumber } from '../machine.ts';
import { type Computation, type Operands, type Row, refuse, type Semantics } from './row.ts';
import { readOrZero } from './state.ts';

/** The base: of a form with update the register itself, which is never r0 (`decode`). */
const atD: Computation = (m, f) => withNumber(m, 'add', readOrZero(m, f('RA|0')), f('D'));
const atDS: Computation = (m, f) => withNumber(m, 'add', readOrZero(m, f('RA|0')), f('DS'));
const atX: Computation = (m, f) => m.apply('add', readOrZero(m, f('RA|0')), m.read(f('RB')));

type Load = <V>(m: Machine<V>, address: V) => V;
type Store = <V>(m: Machine<V>, address: V, value: V) => void;

const zeroed =
  (size: Size): Load =>
  (m, address) =>
    m.load(address, size);
const signed =
  (size: Size): Load =>
  (m, address) =>
    signExtend(m, m.load(address, size), 8 * size);
const plain =
  (size: Size): Store =>
  (m, address, value) =>
    m.store(address, size, value);

const each = (size: Size): number[] => Array.from({ length: size }, (_, i) => i);

/** Byte-reversed: on a little-endian machine the first byte in memory is the highest. */
const reversed =
  (size: Size): Load =>
  (m, address) =>
    each(size).reduce((sum, i) => {
      const byte = m.load(withNumber(m, 'add', address, i), 1);
      return m.apply('or', sum, withNumber(m, 'shiftLeft', byte, 8 * (size - 1 - i)));
    }, m.constant(0));
const reversing =
  (size: Size): Store =>
  (m, address, value) => {
    for (const i of each(size))
      m.store(withNumber(m, 'add', address, i), 1, withNumber(m, 'shiftRight', value, 8 * (size - 1 - i)));
  };

const load =
  (access: Load, at: Computation, update = false): Semantics =>
  (m, f) => {
    const address = at(m, f);
    const loaded = access(m, address);
    writeBack(m, f, address, update);
    m.write(f('RT'), loaded);
  };
const store =
  (access: Store, at: Computation, update = false): Semantics =>
  (m, f) => {
    const address = at(m, f);
    access(m, address, m.read(f('RS')));
    writeBack(m, f, address, update);
  };

function writeBack<V>(m: Machine<V>, f: Operands, address: V, update: boolean): void {
  if (update) m.write(f('RA'), address);
}

/** Faults where it is not aligned. */
const reserving =
  (size: Size): Load =>
  (m, address) => {
    if (m.decide(withNumber(m, 'and', address, size - 1))) throw new NotUnderstood('its address may not be aligned');
    return m.load(address, size);
  };

const float = refuse('registers of floating point are not followed');
const reservation = refuse('whether a reservation is kept is not known');

// biome-ignore format: a table
export const loadsAndStores: readonly Row[] = [
  ['lbz RT,D(RA|0)',         '34@0:5 RT RA|0 D',                              'I 3.3.2', load(zeroed(1), atD)],
  ['lbzu RT,D(RA)',          '35@0:5 RT RA D',                                'I 3.3.2', load(zeroed(1), atD, true)],
  ['lbzx RT,RA|0,RB',        '31@0:5 RT RA|0 RB 87@21:30',                    'I 3.3.2', load(zeroed(1), atX)],
  ['lbzux RT,RA,RB',         '31@0:5 RT RA RB 119@21:30',                     'I 3.3.2', load(zeroed(1), atX, true)],
  ['lhz RT,D(RA|0)',         '40@0:5 RT RA|0 D',                              'I 3.3.2', load(zeroed(2), atD)],
  ['lhzu RT,D(RA)',          '41@0:5 RT RA D',                                'I 3.3.2', load(zeroed(2), atD, true)],
  ['lhzx RT,RA|0,RB',        '31@0:5 RT RA|0 RB 279@21:30',                   'I 3.3.2', load(zeroed(2), atX)],
  ['lhzux RT,RA,RB',         '31@0:5 RT RA RB 311@21:30',                     'I 3.3.2', load(zeroed(2), atX, true)],
  ['lha RT,D(RA|0)',         '42@0:5 RT RA|0 D',                              'I 3.3.2', load(signed(2), atD)],
  ['lhau RT,D(RA)',          '43@0:5 RT RA D',                                'I 3.3.2', load(signed(2), atD, true)],
  ['lhax RT,RA|0,RB',        '31@0:5 RT RA|0 RB 343@21:30',                   'I 3.3.2', load(signed(2), atX)],
  ['lhaux RT,RA,RB',         '31@0:5 RT RA RB 375@21:30',                     'I 3.3.2', load(signed(2), atX, true)],
  ['lwz RT,D(RA|0)',         '32@0:5 RT RA|0 D',                              'I 3.3.2', load(zeroed(4), atD)],
  ['lwzu RT,D(RA)',          '33@0:5 RT RA D',                                'I 3.3.2', load(zeroed(4), atD, true)],
  ['lwzx RT,RA|0,RB',        '31@0:5 RT RA|0 RB 23@21:30',                    'I 3.3.2', load(zeroed(4), atX)],
  ['lwzux RT,RA,RB',         '31@0:5 RT RA RB 55@21:30',                      'I 3.3.2', load(zeroed(4), atX, true)],
  ['lwa RT,DS(RA|0)',        '58@0:5 RT RA|0 DS 2@30:31',                     'I 3.3.2', load(signed(4), atDS)],
  ['lwax RT,RA|0,RB',        '31@0:5 RT RA|0 RB 341@21:30',                   'I 3.3.2', load(signed(4), atX)],
  ['lwaux RT,RA,RB',         '31@0:5 RT RA RB 373@21:30',                     'I 3.3.2', load(signed(4), atX, true)],
  ['ld RT,DS(RA|0)',         '58@0:5 RT RA|0 DS 0@30:31',                     'I 3.3.2', load(zeroed(8), atDS)],
  ['ldu RT,DS(RA)',          '58@0:5 RT RA DS 1@30:31',                       'I 3.3.2', load(zeroed(8), atDS, true)],
  ['ldx RT,RA|0,RB',         '31@0:5 RT RA|0 RB 21@21:30',                    'I 3.3.2', load(zeroed(8), atX)],
  ['ldux RT,RA,RB',          '31@0:5 RT RA RB 53@21:30',                      'I 3.3.2', load(zeroed(8), atX, true)],
  ['lhbrx RT,RA|0,RB',       '31@0:5 RT RA|0 RB 790@21:30',                   'I 3.3.5', load(reversed(2), atX)],
  ['lwbrx RT,RA|0,RB',       '31@0:5 RT RA|0 RB 534@21:30',                   'I 3.3.5', load(reversed(4), atX)],
  ['ldbrx RT,RA|0,RB',       '31@0:5 RT RA|0 RB 532@21:30',                   'I 3.3.6', load(reversed(8), atX)],
  ['lfs FRT,D(RA|0)',        '48@0:5 FRT RA|0 D',                             'I 4.6.2', float],
  ['lfd FRT,D(RA|0)',        '50@0:5 FRT RA|0 D',                             'I 4.6.2', float],
  ['stb RS,D(RA|0)',         '38@0:5 RS RA|0 D',                              'I 3.3.3', store(plain(1), atD)],
  ['stbu RS,D(RA)',          '39@0:5 RS RA D',                                'I 3.3.3', store(plain(1), atD, true)],
  ['stbx RS,RA|0,RB',        '31@0:5 RS RA|0 RB 215@21:30',                   'I 3.3.3', store(plain(1), atX)],
  ['stbux RS,RA,RB',         '31@0:5 RS RA RB 247@21:30',                     'I 3.3.3', store(plain(1), atX, true)],
  ['sth RS,D(RA|0)',         '44@0:5 RS RA|0 D',                              'I 3.3.3', store(plain(2), atD)],
  ['sthu RS,D(RA)',          '45@0:5 RS RA D',                                'I 3.3.3', store(plain(2), atD, true)],
  ['sthx RS,RA|0,RB',        '31@0:5 RS RA|0 RB 407@21:30',                   'I 3.3.3', store(plain(2), atX)],
  ['sthux RS,RA,RB',         '31@0:5 RS RA RB 439@21:30',                     'I 3.3.3', store(plain(2), atX, true)],
  ['stw RS,D(RA|0)',         '36@0:5 RS RA|0 D',                              'I 3.3.3', store(plain(4), atD)],
  ['stwu RS,D(RA)',          '37@0:5 RS RA D',                                'I 3.3.3', store(plain(4), atD, true)],
  ['stwx RS,RA|0,RB',        '31@0:5 RS RA|0 RB 151@21:30',                   'I 3.3.3', store(plain(4), atX)],
  ['stwux RS,RA,RB',         '31@0:5 RS RA RB 183@21:30',                     'I 3.3.3', store(plain(4), atX, true)],
  ['std RS,DS(RA|0)',        '62@0:5 RS RA|0 DS 0@30:31',                     'I 3.3.3', store(plain(8), atDS)],
  ['stdu RS,DS(RA)',         '62@0:5 RS RA DS 1@30:31',                       'I 3.3.3', store(plain(8), atDS, true)],
  ['stdx RS,RA|0,RB',        '31@0:5 RS RA|0 RB 149@21:30',                   'I 3.3.3', store(plain(8), atX)],
  ['stdux RS,RA,RB',         '31@0:5 RS RA RB 181@21:30',                     'I 3.3.3', store(plain(8), atX, true)],
  ['sthbrx RS,RA|0,RB',      '31@0:5 RS RA|0 RB 918@21:30',                   'I 3.3.5', store(reversing(2), atX)],
  ['stwbrx RS,RA|0,RB',      '31@0:5 RS RA|0 RB 662@21:30',                   'I 3.3.5', store(reversing(4), atX)],
  ['stdbrx RS,RA|0,RB',      '31@0:5 RS RA|0 RB 660@21:30',                   'I 3.3.6', store(reversing(8), atX)],
  ['stfs FRS,D(RA|0)',       '52@0:5 FRS RA|0 D',                             'I 4.6.3', float],
  ['stfd FRS,D(RA|0)',       '54@0:5 FRS RA|0 D',                             'I 4.6.3', float],
  // With a reservation: for what several processors share.
  ['lbarx RT,RA|0,RB,EH',    '31@0:5 RT RA|0 RB 52@21:30 EH',                 'II 4.6.2', load(reserving(1), atX)],
  ['lharx RT,RA|0,RB,EH',    '31@0:5 RT RA|0 RB 116@21:30 EH',                'II 4.6.2', load(reserving(2), atX)],
  ['lwarx RT,RA|0,RB,EH',    '31@0:5 RT RA|0 RB 20@21:30 EH',                 'II 4.6.2', load(reserving(4), atX)],
  ['ldarx RT,RA|0,RB,EH',    '31@0:5 RT RA|0 RB 84@21:30 EH',                 'II 4.6.2', load(reserving(8), atX)],
  ['stbcx. RS,RA|0,RB',      '31@0:5 RS RA|0 RB 694@21:30 1@31',              'II 4.6.2', reservation],
  ['sthcx. RS,RA|0,RB',      '31@0:5 RS RA|0 RB 726@21:30 1@31',              'II 4.6.2', reservation],
  ['stwcx. RS,RA|0,RB',      '31@0:5 RS RA|0 RB 150@21:30 1@31',              'II 4.6.2', reservation],
  ['stdcx. RS,RA|0,RB',      '31@0:5 RS RA|0 RB 214@21:30 1@31',              'II 4.6.2', reservation],
];
