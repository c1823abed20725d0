// The instructions that prologues, stubs, hooks and the analysis of stack arguments meet, one row an encoding.
//
// A row is the manual's syntax, the word's layout, and the book and section of the Power ISA that has the instruction:
// 3.0B, or 3.1 where that is said, for what it widened or added. In a layout a bare name is a field of `fields.ts`, and `266@22:30` a
// number that must stand in those bits; bits that nothing names are reserved and must be zero. `[o]` and `[.]` in a
// name make the row several: with OE (bit 21) and Rc (bit 31) clear and set.
//
// Mnemonics are the basic ones: `addi r3,0,5`, not its alias `li r3,5`, as objdump prints them with `-M power10,raw`. Words
// that no row claims decode to nothing, and whoever decodes must take that for "unknown", never for "harmless".

import { type FieldName, field, fieldBits, fieldMask, isFieldName, printField } from './fields.ts';

export { type FieldName, field } from './fields.ts';

/** One encoding. */
export interface Encoding {
  /** The basic mnemonic, `stdu` or `add.`. */
  readonly name: string;
  /** The operands as the manual writes them, `RS,DS(RA)`. */
  readonly syntax: string;
  /** The fields of the word that are operands. */
  readonly fields: readonly FieldName[];
  /** A word is this instruction when its bits under the mask are the value. */
  readonly mask: number;
  readonly value: number;
  /** Whether it writes the address that it forms back to RA. */
  readonly update: boolean;
  /** Book and section of the Power ISA. */
  readonly section: string;
}

/** A decoded word. Its operands are `field('RA', instruction.word)` and so on for the names in `encoding.fields`. */
export interface Instruction {
  readonly encoding: Encoding;
  readonly word: number;
}

type Row = readonly [syntax: string, layout: string, section: string];

// biome-ignore format: a table
const rows: readonly Row[] = [
  // Branches.
  ['b LI',                   '18@0:5 LI 0@30 0@31',                           'I 2.4'],
  ['bl LI',                  '18@0:5 LI 0@30 1@31',                           'I 2.4'],
  ['ba LIA',                 '18@0:5 LIA 1@30 0@31',                          'I 2.4'],
  ['bla LIA',                '18@0:5 LIA 1@30 1@31',                          'I 2.4'],
  ['bc BO,BI,BD',            '16@0:5 BO BI BD 0@30 0@31',                     'I 2.4'],
  ['bcl BO,BI,BD',           '16@0:5 BO BI BD 0@30 1@31',                     'I 2.4'],
  ['bca BO,BI,BDA',          '16@0:5 BO BI BDA 1@30 0@31',                    'I 2.4'],
  ['bcla BO,BI,BDA',         '16@0:5 BO BI BDA 1@30 1@31',                    'I 2.4'],
  ['bclr BO,BI,BH',          '19@0:5 BO BI BH 16@21:30 0@31',                 'I 2.4'],
  ['bclrl BO,BI,BH',         '19@0:5 BO BI BH 16@21:30 1@31',                 'I 2.4'],
  ['bcctr BO,BI,BH',         '19@0:5 BO BI BH 528@21:30 0@31',                'I 2.4'],
  ['bcctrl BO,BI,BH',        '19@0:5 BO BI BH 528@21:30 1@31',                'I 2.4'],
  // Condition register.
  ['crand BT,BA,BB',         '19@0:5 BT BA BB 257@21:30',                     'I 2.5.1'],
  ['crandc BT,BA,BB',        '19@0:5 BT BA BB 129@21:30',                     'I 2.5.1'],
  ['creqv BT,BA,BB',         '19@0:5 BT BA BB 289@21:30',                     'I 2.5.1'],
  ['crnand BT,BA,BB',        '19@0:5 BT BA BB 225@21:30',                     'I 2.5.1'],
  ['crnor BT,BA,BB',         '19@0:5 BT BA BB 33@21:30',                      'I 2.5.1'],
  ['cror BT,BA,BB',          '19@0:5 BT BA BB 449@21:30',                     'I 2.5.1'],
  ['crorc BT,BA,BB',         '19@0:5 BT BA BB 417@21:30',                     'I 2.5.1'],
  ['crxor BT,BA,BB',         '19@0:5 BT BA BB 193@21:30',                     'I 2.5.1'],
  ['mcrf BF,BFA',            '19@0:5 BF BFA 0@21:30',                         'I 2.5.2'],
  ['sc LEV',                 '17@0:5 LEV 1@30',                               'I 2.7'],
  // Loads.
  ['lbz RT,D(RA|0)',         '34@0:5 RT RA|0 D',                              'I 3.3.2'],
  ['lbzu RT,D(RA)',          '35@0:5 RT RA D',                                'I 3.3.2'],
  ['lbzx RT,RA|0,RB',        '31@0:5 RT RA|0 RB 87@21:30',                    'I 3.3.2'],
  ['lbzux RT,RA,RB',         '31@0:5 RT RA RB 119@21:30',                     'I 3.3.2'],
  ['lhz RT,D(RA|0)',         '40@0:5 RT RA|0 D',                              'I 3.3.2'],
  ['lhzu RT,D(RA)',          '41@0:5 RT RA D',                                'I 3.3.2'],
  ['lhzx RT,RA|0,RB',        '31@0:5 RT RA|0 RB 279@21:30',                   'I 3.3.2'],
  ['lhzux RT,RA,RB',         '31@0:5 RT RA RB 311@21:30',                     'I 3.3.2'],
  ['lha RT,D(RA|0)',         '42@0:5 RT RA|0 D',                              'I 3.3.2'],
  ['lhau RT,D(RA)',          '43@0:5 RT RA D',                                'I 3.3.2'],
  ['lhax RT,RA|0,RB',        '31@0:5 RT RA|0 RB 343@21:30',                   'I 3.3.2'],
  ['lhaux RT,RA,RB',         '31@0:5 RT RA RB 375@21:30',                     'I 3.3.2'],
  ['lwz RT,D(RA|0)',         '32@0:5 RT RA|0 D',                              'I 3.3.2'],
  ['lwzu RT,D(RA)',          '33@0:5 RT RA D',                                'I 3.3.2'],
  ['lwzx RT,RA|0,RB',        '31@0:5 RT RA|0 RB 23@21:30',                    'I 3.3.2'],
  ['lwzux RT,RA,RB',         '31@0:5 RT RA RB 55@21:30',                      'I 3.3.2'],
  ['lwa RT,DS(RA|0)',        '58@0:5 RT RA|0 DS 2@30:31',                     'I 3.3.2'],
  ['lwax RT,RA|0,RB',        '31@0:5 RT RA|0 RB 341@21:30',                   'I 3.3.2'],
  ['lwaux RT,RA,RB',         '31@0:5 RT RA RB 373@21:30',                     'I 3.3.2'],
  ['ld RT,DS(RA|0)',         '58@0:5 RT RA|0 DS 0@30:31',                     'I 3.3.2'],
  ['ldu RT,DS(RA)',          '58@0:5 RT RA DS 1@30:31',                       'I 3.3.2'],
  ['ldx RT,RA|0,RB',         '31@0:5 RT RA|0 RB 21@21:30',                    'I 3.3.2'],
  ['ldux RT,RA,RB',          '31@0:5 RT RA RB 53@21:30',                      'I 3.3.2'],
  ['lhbrx RT,RA|0,RB',       '31@0:5 RT RA|0 RB 790@21:30',                   'I 3.3.5'],
  ['lwbrx RT,RA|0,RB',       '31@0:5 RT RA|0 RB 534@21:30',                   'I 3.3.5'],
  ['ldbrx RT,RA|0,RB',       '31@0:5 RT RA|0 RB 532@21:30',                   'I 3.3.6'],
  ['lfs FRT,D(RA|0)',        '48@0:5 FRT RA|0 D',                             'I 4.6.2'],
  ['lfd FRT,D(RA|0)',        '50@0:5 FRT RA|0 D',                             'I 4.6.2'],
  // Stores.
  ['stb RS,D(RA|0)',         '38@0:5 RS RA|0 D',                              'I 3.3.3'],
  ['stbu RS,D(RA)',          '39@0:5 RS RA D',                                'I 3.3.3'],
  ['stbx RS,RA|0,RB',        '31@0:5 RS RA|0 RB 215@21:30',                   'I 3.3.3'],
  ['stbux RS,RA,RB',         '31@0:5 RS RA RB 247@21:30',                     'I 3.3.3'],
  ['sth RS,D(RA|0)',         '44@0:5 RS RA|0 D',                              'I 3.3.3'],
  ['sthu RS,D(RA)',          '45@0:5 RS RA D',                                'I 3.3.3'],
  ['sthx RS,RA|0,RB',        '31@0:5 RS RA|0 RB 407@21:30',                   'I 3.3.3'],
  ['sthux RS,RA,RB',         '31@0:5 RS RA RB 439@21:30',                     'I 3.3.3'],
  ['stw RS,D(RA|0)',         '36@0:5 RS RA|0 D',                              'I 3.3.3'],
  ['stwu RS,D(RA)',          '37@0:5 RS RA D',                                'I 3.3.3'],
  ['stwx RS,RA|0,RB',        '31@0:5 RS RA|0 RB 151@21:30',                   'I 3.3.3'],
  ['stwux RS,RA,RB',         '31@0:5 RS RA RB 183@21:30',                     'I 3.3.3'],
  ['std RS,DS(RA|0)',        '62@0:5 RS RA|0 DS 0@30:31',                     'I 3.3.3'],
  ['stdu RS,DS(RA)',         '62@0:5 RS RA DS 1@30:31',                       'I 3.3.3'],
  ['stdx RS,RA|0,RB',        '31@0:5 RS RA|0 RB 149@21:30',                   'I 3.3.3'],
  ['stdux RS,RA,RB',         '31@0:5 RS RA RB 181@21:30',                     'I 3.3.3'],
  ['sthbrx RS,RA|0,RB',      '31@0:5 RS RA|0 RB 918@21:30',                   'I 3.3.5'],
  ['stwbrx RS,RA|0,RB',      '31@0:5 RS RA|0 RB 662@21:30',                   'I 3.3.5'],
  ['stdbrx RS,RA|0,RB',      '31@0:5 RS RA|0 RB 660@21:30',                   'I 3.3.6'],
  ['stfs FRS,D(RA|0)',       '52@0:5 FRS RA|0 D',                             'I 4.6.3'],
  ['stfd FRS,D(RA|0)',       '54@0:5 FRS RA|0 D',                             'I 4.6.3'],
  // Arithmetic.
  ['addi RT,RA|0,SI',        '14@0:5 RT RA|0 SI',                             'I 3.3.9'],
  ['addis RT,RA|0,SI',       '15@0:5 RT RA|0 SI',                             'I 3.3.9'],
  ['addpcis RT,DX',          '19@0:5 RT DX 2@26:30',                          'I 3.3.9'],
  ['addic RT,RA,SI',         '12@0:5 RT RA SI',                               'I 3.3.9'],
  ['addic. RT,RA,SI',        '13@0:5 RT RA SI',                               'I 3.3.9'],
  ['subfic RT,RA,SI',        '8@0:5 RT RA SI',                                'I 3.3.9'],
  ['mulli RT,RA,SI',         '7@0:5 RT RA SI',                                'I 3.3.9'],
  ['add[o][.] RT,RA,RB',     '31@0:5 RT RA RB 266@22:30',                     'I 3.3.9'],
  ['addc[o][.] RT,RA,RB',    '31@0:5 RT RA RB 10@22:30',                      'I 3.3.9'],
  ['adde[o][.] RT,RA,RB',    '31@0:5 RT RA RB 138@22:30',                     'I 3.3.9'],
  ['addme[o][.] RT,RA',      '31@0:5 RT RA 234@22:30',                        'I 3.3.9'],
  ['addze[o][.] RT,RA',      '31@0:5 RT RA 202@22:30',                        'I 3.3.9'],
  ['subf[o][.] RT,RA,RB',    '31@0:5 RT RA RB 40@22:30',                      'I 3.3.9'],
  ['subfc[o][.] RT,RA,RB',   '31@0:5 RT RA RB 8@22:30',                       'I 3.3.9'],
  ['subfe[o][.] RT,RA,RB',   '31@0:5 RT RA RB 136@22:30',                     'I 3.3.9'],
  ['subfme[o][.] RT,RA',     '31@0:5 RT RA 232@22:30',                        'I 3.3.9'],
  ['subfze[o][.] RT,RA',     '31@0:5 RT RA 200@22:30',                        'I 3.3.9'],
  ['neg[o][.] RT,RA',        '31@0:5 RT RA 104@22:30',                        'I 3.3.9'],
  ['mullw[o][.] RT,RA,RB',   '31@0:5 RT RA RB 235@22:30',                     'I 3.3.9'],
  ['mulhw[.] RT,RA,RB',      '31@0:5 RT RA RB 75@22:30',                      'I 3.3.9'],
  ['mulhwu[.] RT,RA,RB',     '31@0:5 RT RA RB 11@22:30',                      'I 3.3.9'],
  ['divw[o][.] RT,RA,RB',    '31@0:5 RT RA RB 491@22:30',                     'I 3.3.9'],
  ['divwu[o][.] RT,RA,RB',   '31@0:5 RT RA RB 459@22:30',                     'I 3.3.9'],
  ['divwe[o][.] RT,RA,RB',   '31@0:5 RT RA RB 427@22:30',                     'I 3.3.9'],
  ['divweu[o][.] RT,RA,RB',  '31@0:5 RT RA RB 395@22:30',                     'I 3.3.9'],
  ['modsw RT,RA,RB',         '31@0:5 RT RA RB 779@21:30',                     'I 3.3.9'],
  ['moduw RT,RA,RB',         '31@0:5 RT RA RB 267@21:30',                     'I 3.3.9'],
  ['mulld[o][.] RT,RA,RB',   '31@0:5 RT RA RB 233@22:30',                     'I 3.3.9.1'],
  ['mulhd[.] RT,RA,RB',      '31@0:5 RT RA RB 73@22:30',                      'I 3.3.9.1'],
  ['mulhdu[.] RT,RA,RB',     '31@0:5 RT RA RB 9@22:30',                       'I 3.3.9.1'],
  ['maddhd RT,RA,RB,RC',     '4@0:5 RT RA RB RC 48@26:31',                    'I 3.3.9.1'],
  ['maddhdu RT,RA,RB,RC',    '4@0:5 RT RA RB RC 49@26:31',                    'I 3.3.9.1'],
  ['maddld RT,RA,RB,RC',     '4@0:5 RT RA RB RC 51@26:31',                    'I 3.3.9.1'],
  ['divd[o][.] RT,RA,RB',    '31@0:5 RT RA RB 489@22:30',                     'I 3.3.9.1'],
  ['divdu[o][.] RT,RA,RB',   '31@0:5 RT RA RB 457@22:30',                     'I 3.3.9.1'],
  ['divde[o][.] RT,RA,RB',   '31@0:5 RT RA RB 425@22:30',                     'I 3.3.9.1'],
  ['divdeu[o][.] RT,RA,RB',  '31@0:5 RT RA RB 393@22:30',                     'I 3.3.9.1'],
  ['modsd RT,RA,RB',         '31@0:5 RT RA RB 777@21:30',                     'I 3.3.9.1'],
  ['modud RT,RA,RB',         '31@0:5 RT RA RB 265@21:30',                     'I 3.3.9.1'],
  // Comparing, trapping, choosing.
  ['cmpi BF,L,RA,SI',        '11@0:5 BF L RA SI',                             'I 3.3.10'],
  ['cmp BF,L,RA,RB',         '31@0:5 BF L RA RB 0@21:30',                     'I 3.3.10'],
  ['cmpli BF,L,RA,UI',       '10@0:5 BF L RA UI',                             'I 3.3.10'],
  ['cmpl BF,L,RA,RB',        '31@0:5 BF L RA RB 32@21:30',                    'I 3.3.10'],
  ['twi TO,RA,SI',           '3@0:5 TO RA SI',                                'I 3.3.11'],
  ['tw TO,RA,RB',            '31@0:5 TO RA RB 4@21:30',                       'I 3.3.11'],
  ['tdi TO,RA,SI',           '2@0:5 TO RA SI',                                'I 3.3.11'],
  ['td TO,RA,RB',            '31@0:5 TO RA RB 68@21:30',                      'I 3.3.11'],
  ['isel RT,RA|0,RB,BC',     '31@0:5 RT RA|0 RB BC 15@26:30',                 'I 3.3.12'],
  // Logic.
  ['andi. RA,RS,UI',         '28@0:5 RS RA UI',                               'I 3.3.13'],
  ['andis. RA,RS,UI',        '29@0:5 RS RA UI',                               'I 3.3.13'],
  ['ori RA,RS,UI',           '24@0:5 RS RA UI',                               'I 3.3.13'],
  ['oris RA,RS,UI',          '25@0:5 RS RA UI',                               'I 3.3.13'],
  ['xori RA,RS,UI',          '26@0:5 RS RA UI',                               'I 3.3.13'],
  ['xoris RA,RS,UI',         '27@0:5 RS RA UI',                               'I 3.3.13'],
  ['and[.] RA,RS,RB',        '31@0:5 RS RA RB 28@21:30',                      'I 3.3.13'],
  ['andc[.] RA,RS,RB',       '31@0:5 RS RA RB 60@21:30',                      'I 3.3.13'],
  ['nand[.] RA,RS,RB',       '31@0:5 RS RA RB 476@21:30',                     'I 3.3.13'],
  ['or[.] RA,RS,RB',         '31@0:5 RS RA RB 444@21:30',                     'I 3.3.13'],
  ['orc[.] RA,RS,RB',        '31@0:5 RS RA RB 412@21:30',                     'I 3.3.13'],
  ['nor[.] RA,RS,RB',        '31@0:5 RS RA RB 124@21:30',                     'I 3.3.13'],
  ['xor[.] RA,RS,RB',        '31@0:5 RS RA RB 316@21:30',                     'I 3.3.13'],
  ['eqv[.] RA,RS,RB',        '31@0:5 RS RA RB 284@21:30',                     'I 3.3.13'],
  ['extsb[.] RA,RS',         '31@0:5 RS RA 954@21:30',                        'I 3.3.13'],
  ['extsh[.] RA,RS',         '31@0:5 RS RA 922@21:30',                        'I 3.3.13'],
  ['extsw[.] RA,RS',         '31@0:5 RS RA 986@21:30',                        'I 3.3.13.1'],
  ['cntlzw[.] RA,RS',        '31@0:5 RS RA 26@21:30',                         'I 3.3.13'],
  ['cnttzw[.] RA,RS',        '31@0:5 RS RA 538@21:30',                        'I 3.3.13'],
  ['cntlzd[.] RA,RS',        '31@0:5 RS RA 58@21:30',                         'I 3.3.13.1'],
  ['cnttzd[.] RA,RS',        '31@0:5 RS RA 570@21:30',                        'I 3.3.13.1'],
  ['cmpb RA,RS,RB',          '31@0:5 RS RA RB 508@21:30',                     'I 3.3.13'],
  ['popcntb RA,RS',          '31@0:5 RS RA 122@21:30',                        'I 3.3.13'],
  ['popcntw RA,RS',          '31@0:5 RS RA 378@21:30',                        'I 3.3.13'],
  ['popcntd RA,RS',          '31@0:5 RS RA 506@21:30',                        'I 3.3.13.1'],
  // Rotating and shifting.
  ['rlwimi[.] RA,RS,SH,MB,ME', '20@0:5 RS RA SH MB ME',                       'I 3.3.14.1'],
  ['rlwinm[.] RA,RS,SH,MB,ME', '21@0:5 RS RA SH MB ME',                       'I 3.3.14.1'],
  ['rlwnm[.] RA,RS,RB,MB,ME',  '23@0:5 RS RA RB MB ME',                       'I 3.3.14.1'],
  ['rldicl[.] RA,RS,sh,mb',  '30@0:5 RS RA sh mb 0@27:29',                    'I 3.3.14.1'],
  ['rldicr[.] RA,RS,sh,me',  '30@0:5 RS RA sh me 1@27:29',                    'I 3.3.14.1'],
  ['rldic[.] RA,RS,sh,mb',   '30@0:5 RS RA sh mb 2@27:29',                    'I 3.3.14.1'],
  ['rldimi[.] RA,RS,sh,mb',  '30@0:5 RS RA sh mb 3@27:29',                    'I 3.3.14.1'],
  ['rldcl[.] RA,RS,RB,mb',   '30@0:5 RS RA RB mb 8@27:30',                    'I 3.3.14.1'],
  ['rldcr[.] RA,RS,RB,me',   '30@0:5 RS RA RB me 9@27:30',                    'I 3.3.14.1'],
  ['slw[.] RA,RS,RB',        '31@0:5 RS RA RB 24@21:30',                      'I 3.3.14.2'],
  ['srw[.] RA,RS,RB',        '31@0:5 RS RA RB 536@21:30',                     'I 3.3.14.2'],
  ['sraw[.] RA,RS,RB',       '31@0:5 RS RA RB 792@21:30',                     'I 3.3.14.2'],
  ['srawi[.] RA,RS,SH',      '31@0:5 RS RA SH 824@21:30',                     'I 3.3.14.2'],
  ['sld[.] RA,RS,RB',        '31@0:5 RS RA RB 27@21:30',                      'I 3.3.14.2'],
  ['srd[.] RA,RS,RB',        '31@0:5 RS RA RB 539@21:30',                     'I 3.3.14.2'],
  ['srad[.] RA,RS,RB',       '31@0:5 RS RA RB 794@21:30',                     'I 3.3.14.2'],
  ['sradi[.] RA,RS,sh',      '31@0:5 RS RA sh 413@21:29',                     'I 3.3.14.2'],
  ['extswsli[.] RA,RS,sh',   '31@0:5 RS RA sh 445@21:29',                     'I 3.3.14.2'],
  // Special registers.
  ['mtspr spr,RS',           '31@0:5 RS spr 467@21:30',                       'I 3.3.17'],
  ['mfspr RT,spr',           '31@0:5 RT spr 339@21:30',                       'I 3.3.17'],
  ['mtcrf FXM,RS',           '31@0:5 RS 0@11 FXM 144@21:30',                  'I 3.3.17'],
  ['mtocrf FXM,RS',          '31@0:5 RS 1@11 FXM 144@21:30',                  'I 3.3.17'],
  ['mfcr RT',                '31@0:5 RT 0@11 19@21:30',                       'I 3.3.17'],
  ['mfocrf RT,FXM',          '31@0:5 RT 1@11 FXM 19@21:30',                   'I 3.3.17'],
  ['mfmsr RT',               '31@0:5 RT 83@21:30',                            'III 4.4.4'],
  ['mtmsr RS,L15',           '31@0:5 RS L15 146@21:30',                       'III 4.4.4'],
  ['mtmsrd RS,L15',          '31@0:5 RS L15 178@21:30',                       'III 4.4.4'],
  ['rfid',                   '19@0:5 18@21:30',                               'III 3.3.1'],
  ['hrfid',                  '19@0:5 274@21:30',                              'III 3.3.1'],
  // Storage control.
  ['icbi RA|0,RB',           '31@0:5 RA|0 RB 982@21:30',                      'II 4.3.1'],
  ['dcbt RA|0,RB,TH',        '31@0:5 TH RA|0 RB 278@21:30',                   'II 4.3.2'],
  ['dcbtst RA|0,RB,TH',      '31@0:5 TH RA|0 RB 246@21:30',                   'II 4.3.2'],
  ['dcbz RA|0,RB',           '31@0:5 RA|0 RB 1014@21:30',                     'II 4.3.2'],
  ['dcbst RA|0,RB',          '31@0:5 RA|0 RB 54@21:30',                       'II 4.3.2'],
  ['dcbf RA|0,RB,L8',        '31@0:5 L8 RA|0 RB 86@21:30',                    'II 4.3.2 of 3.1'],
  ['isync',                  '19@0:5 150@21:30',                              'II 4.6.1'],
  ['lbarx RT,RA|0,RB,EH',    '31@0:5 RT RA|0 RB 52@21:30 EH',                 'II 4.6.2'],
  ['lharx RT,RA|0,RB,EH',    '31@0:5 RT RA|0 RB 116@21:30 EH',                'II 4.6.2'],
  ['lwarx RT,RA|0,RB,EH',    '31@0:5 RT RA|0 RB 20@21:30 EH',                 'II 4.6.2'],
  ['ldarx RT,RA|0,RB,EH',    '31@0:5 RT RA|0 RB 84@21:30 EH',                 'II 4.6.2'],
  ['stbcx. RS,RA|0,RB',      '31@0:5 RS RA|0 RB 694@21:30 1@31',              'II 4.6.2'],
  ['sthcx. RS,RA|0,RB',      '31@0:5 RS RA|0 RB 726@21:30 1@31',              'II 4.6.2'],
  ['stwcx. RS,RA|0,RB',      '31@0:5 RS RA|0 RB 150@21:30 1@31',              'II 4.6.2'],
  ['stdcx. RS,RA|0,RB',      '31@0:5 RS RA|0 RB 214@21:30 1@31',              'II 4.6.2'],
  ['sync L8,SC',             '31@0:5 L8 SC 598@21:30',                        'II 4.6.3 of 3.1'],
  ['wait WC,PL',             '31@0:5 WC PL 30@21:30',                         'II 4.6.4 of 3.1'],
  ['eieio',                  '31@0:5 854@21:30',                              'II 4.6.3'],
];

/** `266@22:30` as mask and value. */
function constant(part: string): { mask: number; value: number } {
  const match = /^(\d+)@(\d+)(?::(\d+))?$/.exec(part);
  if (!match) throw new Error(`neither a field nor a number at its bits: ${part}`);
  const first = Number(match[2]);
  const last = Number(match[3] ?? first);
  return { mask: ((2 ** (last - first + 1) - 1) << (31 - last)) >>> 0, value: (Number(match[1]) << (31 - last)) >>> 0 };
}

function encoding(name: string, operands: string, layout: readonly string[], section: string): Encoding {
  const fields = layout.filter(isFieldName);
  const fixed = layout.filter((part) => !isFieldName(part)).map(constant);
  const operandBits = fields.reduce((bits, f) => bits | fieldMask(f), 0);
  return {
    name,
    syntax: operands,
    fields,
    mask: ~operandBits >>> 0,
    value: fixed.reduce((bits, f) => bits | f.value, 0) >>> 0,
    update: /^(l|st)[bhwd][az]?ux?$/.test(name),
    section,
  };
}

/** One row of the table as its encodings: `add[o][.]` is four. */
function expand([syntax, layout, section]: Row): Encoding[] {
  const [name, operands = ''] = syntax.split(' ') as [string, string?];
  let variants = [{ name, layout: layout.split(' ') }];
  for (const [mark, letter, bit] of [
    ['[o]', 'o', '1@21'],
    ['[.]', '.', '1@31'],
  ] as const) {
    if (!name.includes(mark)) continue;
    variants = variants.flatMap((v) => [
      { name: v.name.replace(mark, ''), layout: v.layout },
      { name: v.name.replace(mark, letter), layout: [...v.layout, bit] },
    ]);
  }
  return variants.map((v) => encoding(v.name, operands, v.layout, section));
}

export const encodings: readonly Encoding[] = rows.flatMap(expand);

const byName = new Map(encodings.map((e) => [e.name, e]));
const byPrimaryOpcode = Array.from({ length: 64 }, (_, opcode) => encodings.filter((e) => e.value >>> 26 === opcode));

/** The forms that sections 3.3.2 and 3.3.3 call invalid: an update of r0, or of the register that is being loaded. */
function isInvalidForm({ update, fields }: Encoding, word: number): boolean {
  return update && (field('RA', word) === 0 || (fields.includes('RT') && field('RA', word) === field('RT', word)));
}

/** The instruction that a word is, or undefined if the table does not claim it. */
export function decode(word: number): Instruction | undefined {
  for (const encoding of byPrimaryOpcode[word >>> 26]!) {
    if ((word & encoding.mask) >>> 0 !== encoding.value) continue;
    return isInvalidForm(encoding, word) ? undefined : { encoding, word: word >>> 0 };
  }
  return undefined;
}

/**
 * The word of an instruction, from exactly the operands that its row has. Displacements are in bytes.
 * Throws `RangeError` for a value that does not fit, an unknown mnemonic, or missing or foreign operands.
 */
export function encode(name: string, operands: Partial<Record<FieldName, number>> = {}): number {
  const row = byName.get(name);
  if (!row) throw new RangeError(`no encoding of ${name}`);
  for (const given of Object.keys(operands)) {
    if (!row.fields.includes(given as FieldName)) throw new RangeError(`${name} has no operand ${given}`);
  }
  return (
    row.fields.reduce((word, f) => {
      const value = operands[f];
      if (value === undefined) throw new RangeError(`${name} needs its operand ${f}`);
      return word | fieldBits(f, value);
    }, row.value) >>> 0
  );
}

const operandNames = /([A-Za-z]\w*(?:\|0)?)/;

/** Each syntax taken apart once, `D(RA|0)` as D, `(`, RA|0, `)`. */
const syntaxParts = new Map(encodings.map(({ syntax }) => [syntax, syntax.split(operandNames)]));

/** The instruction as objdump prints it with `-M power10,raw`, without the name of a branch's target. */
export function print({ encoding: { name, syntax }, word }: Instruction, address: bigint): string {
  const parts = syntaxParts.get(syntax)!;
  const operands = parts.map((part) => (isFieldName(part) ? printField(part, word, address) : part)).join('');
  return operands === '' ? name : `${name} ${operands}`;
}
