// Book I, section 3.3.17, moves from and to special registers; Book III, section 4.4.4, the machine state register; Book
// II, chapter 4, caches and the order of accesses, which one processor's registers and memory do not show.

import { bit, type Machine, NotUnderstood, withNumber } from '../machine.ts';
import { nothing, type Row, refuse, type Semantics } from './row.ts';
import { CR0, CTR, conditionFields, LR, MSR, readOrZero, XER, xerBits } from './state.ts';

/** The numbers of special registers: mfspr in section 3.3.17. */
const spr = { XER: 1, LR: 8, CTR: 9 } as const;

/** What XER holds beside the bits that are registers here: 32 bits in all, the upper half is reserved. */
const otherXerBits = xerBits.reduce((mask, [, at]) => mask & ~(1n << BigInt(at)), 0xffffffffn);

const readXer = <V>(m: Machine<V>): V =>
  xerBits.reduce(
    (sum, [register, at]) => m.apply('or', sum, withNumber(m, 'shiftLeft', m.read(register), at)),
    m.read(XER),
  );

function writeXer<V>(m: Machine<V>, value: V): void {
  for (const [register, at] of xerBits) m.write(register, bit(m, value, at));
  m.write(XER, withNumber(m, 'and', value, otherXerBits));
}

const moveFrom: Semantics = (m, f) => {
  const number = f('spr');
  if (number === spr.XER) m.write(f('RT'), readXer(m));
  else if (number === spr.LR || number === spr.CTR) m.write(f('RT'), m.read(number === spr.LR ? LR : CTR));
  else throw new NotUnderstood(`what the special register ${number} holds is not known`);
};

const moveTo: Semantics = (m, f) => {
  const number = f('spr');
  if (number === spr.XER) writeXer(m, m.read(f('RS')));
  else if (number === spr.LR || number === spr.CTR) m.write(number === spr.LR ? LR : CTR, m.read(f('RS')));
  else throw new NotUnderstood(`what writing the special register ${number} does is not known`);
};

const fields = Array.from({ length: conditionFields }, (_, n) => n);
/** How far a condition field is up in the register's 32 bits. */
const shiftOf = (field: number): number => 28 - 4 * field;

const readCr: Semantics = (m, f) =>
  m.write(
    f('RT'),
    fields.reduce(
      (sum, n) => m.apply('or', sum, withNumber(m, 'shiftLeft', m.read(CR0 + n), shiftOf(n))),
      m.constant(0),
    ),
  );

/** FXM has a bit for each field, the first one's to the left. */
const isChosen = (mask: number, field: number): boolean => (mask & (0x80 >> field)) !== 0;

const writeCr: Semantics = (m, f) => {
  for (const n of fields) {
    if (!isChosen(f('FXM'), n)) continue;
    const lowered = withNumber(m, 'shiftRight', m.read(f('RS')), shiftOf(n));
    m.write(CR0 + n, withNumber(m, 'and', lowered, 0xf));
  }
};

/** The form for one field: with more of them, or none, what happens is not defined. */
const writeOneField: Semantics = (m, f) => {
  if (fields.filter((n) => isChosen(f('FXM'), n)).length !== 1)
    throw new NotUnderstood('an invalid form: it names no single field of CR');
  writeCr(m, f);
};

/** Memory as it was; but where there is none they fault as a load does (Book II, section 4.3). */
const inCache: Semantics = (m, f) => {
  m.load(m.apply('add', readOrZero(m, f('RA|0')), m.read(f('RB'))), 1);
};

const state = refuse('it changes the state of the machine');

// biome-ignore format: a table
export const specialRegisters: readonly Row[] = [
  ['mtspr spr,RS',           '31@0:5 RS spr 467@21:30',                       'I 3.3.17', moveTo],
  ['mfspr RT,spr',           '31@0:5 RT spr 339@21:30',                       'I 3.3.17', moveFrom],
  ['mtcrf FXM,RS',           '31@0:5 RS 0@11 FXM 144@21:30',                  'I 3.3.17', writeCr],
  ['mtocrf FXM,RS',          '31@0:5 RS 1@11 FXM 144@21:30',                  'I 3.3.17', writeOneField],
  ['mfcr RT',                '31@0:5 RT 0@11 19@21:30',                       'I 3.3.17', readCr],
  ['mfocrf RT,FXM',          '31@0:5 RT 1@11 FXM 19@21:30',                   'I 3.3.17', refuse('what it leaves in the other bits is not defined')],
  ['mfmsr RT',               '31@0:5 RT 83@21:30',                            'III 4.4.4', (m, f) => m.write(f('RT'), m.read(MSR))],
  ['mtmsr RS,L15',           '31@0:5 RS L15 146@21:30',                       'III 4.4.4', state],
  ['mtmsrd RS,L15',          '31@0:5 RS L15 178@21:30',                       'III 4.4.4', state],
  // Storage control.
  ['icbi RA|0,RB',           '31@0:5 RA|0 RB 982@21:30',                      'II 4.3.1', inCache],
  ['dcbt RA|0,RB,TH',        '31@0:5 TH RA|0 RB 278@21:30',                   'II 4.3.2', nothing],
  ['dcbtst RA|0,RB,TH',      '31@0:5 TH RA|0 RB 246@21:30',                   'II 4.3.2', nothing],
  ['dcbz RA|0,RB',           '31@0:5 RA|0 RB 1014@21:30',                     'II 4.3.2', refuse('how much memory it clears is not known')],
  ['dcbst RA|0,RB',          '31@0:5 RA|0 RB 54@21:30',                       'II 4.3.2', inCache],
  ['dcbf RA|0,RB,L8',        '31@0:5 L8 RA|0 RB 86@21:30',                    'II 4.3.2 of 3.1', inCache],
  ['isync',                  '19@0:5 150@21:30',                              'II 4.6.1', nothing],
  ['sync L8,SC',             '31@0:5 L8 SC 598@21:30',                        'II 4.6.3 of 3.1', nothing],
  ['wait WC,PL',             '31@0:5 WC PL 30@21:30',                         'II 4.6.4 of 3.1', nothing],
  ['eieio',                  '31@0:5 854@21:30',                              'II 4.6.3', nothing],
];
