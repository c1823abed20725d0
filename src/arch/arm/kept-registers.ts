// Which callers count on registers that a function leaves alone.
//
// r0 to r3 and ip are a callee's to use (AAPCS, IHI 0042, section 5.1.1). But gcc lets a caller in the same file keep values in them over
// a call of a function that it sees not to touch them (-fipa-ra, in force from -O1 on, unless the file is compiled with -pg). A new
// function touches what it likes. So of one without a call of mcount the image is asked: which of these registers does nothing
// write that it runs, and may anybody who calls it read one of those behind the call before writing it? All is told to the safe
// side: a register counts as written only where an instruction is sure to be one of the function's, and as read wherever it may
// be: by what is not understood, by what is called next, by whoever gets control back without its having been written.

import { type LinkAddress, linkAddress } from '../../elf/units.ts';
import type { FunctionText, KernelText } from '../arch.ts';
import { type Machine, NotUnderstood } from '../machine.ts';
import { branchDistance } from './branches.ts';
import { mcount } from './call-sites.ts';
import { always, decode, pcAhead } from './instructions.ts';
import { type Fields, LR, PC, SP } from './row.ts';
import { instructionSet } from './semantics.ts';

/** r0, r1, r2, r3, ip. Sets of registers are bits by number. */
const asked = 0b1_0000_0000_1111;
const argumentsOfCalls = 0b1111;
const none = 0;

/** What one instruction has to do with registers. */
interface Use {
  readonly reads: number;
  readonly writes: number;
  readonly conditional: boolean;
  /** Where control goes besides the next instruction: back to the caller, by a register, or where nobody can tell. */
  readonly goes: 'on' | 'back' | 'calls a pointer' | 'leaves by a pointer' | 'anywhere';
}

const conditionBits = 0x0fffffff;
const unknown: Use = { reads: asked, writes: none, conditional: true, goes: 'anywhere' };

/** B and BL with any condition. */
const isBranch = (word: number): boolean => (word & 0x0e000000) === 0x0a000000 && word >>> 28 !== 15;
const isCall = (word: number): boolean => (word & 0x01000000) !== 0;

/** The second register of a pair is the next one. */
function namedIn({ Rn, Rd, Rm, Rs, Rt, register_list: list = 0 }: Fields): number {
  const single = [Rn, Rd, Rm, Rs, Rt].reduce<number>((set, r) => (r === undefined ? set : set | (3 << r)), none);
  return (single | list) & asked;
}

/** Runs an instruction on a machine that only takes note. Values are 0: no address is odd, and no shift is one. */
function useOf(word: number): Use {
  const instruction = decode(word);
  if (!instruction) return unknown;
  const { encoding, fields } = instruction;
  const conditional = fields.cond !== undefined && fields.cond !== always;
  let [reads, writes, jumps] = [none, none, false];
  const machine: Machine<number> = {
    bits: 32,
    pc: 0,
    read: (register) => {
      reads |= 1 << register;
      return 0;
    },
    write: (register) => {
      writes |= 1 << register;
    },
    jump: () => {
      jumps = true;
    },
    load: () => 0,
    store: () => {},
    constant: (value) => Number(value),
    apply: () => 0,
    decide: (condition) => condition !== 0,
  };
  try {
    instructionSet.execute(machine, conditional ? ((word & conditionBits) | (always << 28)) >>> 0 : word);
  } catch (error) {
    // What it does is not known, but which registers it names.
    if (error instanceof NotUnderstood) return { reads: namedIn(fields), writes: none, conditional: true, goes: 'on' };
    throw error;
  }
  const goes = () => {
    if (encoding.name === 'BLX (register)') return 'calls a pointer';
    if (!jumps) return 'on';
    if (encoding.name === 'BX') return fields.Rm === LR ? 'back' : 'leaves by a pointer';
    const popped = fields.Rn === SP && ((fields.register_list ?? 0) & (1 << PC)) !== 0;
    return popped || encoding.name.startsWith('POP') || fields.Rm === LR ? 'back' : 'anywhere';
  };
  return { reads: reads & asked, writes: writes & asked, conditional, goes: goes() };
}

/** A function's code, by the link-time addresses of its words; addresses are numbers here. */
interface Code {
  readonly start: number;
  readonly end: number;
  readonly words: Uint32Array;
  /** Words that its instructions load as data. */
  readonly literals: ReadonlySet<number>;
}

/** What is known of a kernel, found out as it is asked for. */
class Calls {
  readonly #kernel: KernelText;
  readonly #mcount: number | undefined;
  /** Branches in order of what they lead to: the target above, the branch's own address below. */
  readonly #branches: BigUint64Array;
  readonly #codes = new Map<number, Code | undefined>();
  readonly #written = new Map<number, { readonly writes: number; readonly callees: readonly number[] }>();
  readonly #traced = new Map<number, boolean>();
  readonly #uses = new Map<number, Use>();
  readonly #arguments = new Map<number, number>();
  #depth = 0;

  constructor(kernel: KernelText) {
    this.#kernel = kernel;
    const address = kernel.symbol(mcount);
    this.#mcount = address === undefined ? undefined : Number(address);
    const found: bigint[] = [];
    for (const { start, end } of kernel.textRanges) {
      const words = wordsBetween(kernel, Number(start), Number(end));
      for (const [i, word] of words.entries()) {
        if (!isBranch(word)) continue;
        const at = Number(start) + 4 * i;
        found.push((BigInt(targetOf(word, at)) << 32n) | BigInt(at));
      }
    }
    this.#branches = BigUint64Array.from(found).sort();
  }

  /** Who counts on a register that a function leaves alone, in words; undefined if nobody does. */
  whoCounts({ address }: FunctionText): string | undefined {
    return this.#whoCountsOn(Number(address), asked & ~this.#writtenBy(Number(address)), new Set());
  }

  #whoCountsOn(callee: number, kept: number, seen: Set<string>): string | undefined {
    const key = `${callee} ${kept}`;
    if (kept === none || seen.has(key)) return undefined;
    seen.add(key);
    for (const site of this.#branchesTo(callee)) {
      const caller = this.#codeAt(site);
      // In a file compiled with -pg nobody counts on what is not the ABI's; a loop to its own start calls nothing.
      if (!caller || this.#isTraced(caller)) continue;
      const word = caller.words[(site - caller.start) >> 2]!;
      if (!isCall(word) && caller.start === callee) continue;
      const { read, back } = isCall(word) ? this.#behind(caller, site + 4, kept) : { read: none, back: kept };
      if (read !== none) return this.#describe(caller, site, read);
      const further = this.#whoCountsOn(caller.start, back & ~this.#writtenBy(caller.start), seen);
      if (further !== undefined) return further;
    }
    return undefined;
  }

  #describe({ start }: Code, site: number, read: number): string {
    const { name } = this.#kernel.enclosing(addressOf(start))!;
    const register = ['r0', 'r1', 'r2', 'r3'].find((_, i) => (read & (1 << i)) !== 0) ?? 'ip';
    return `its caller ${name} may count on ${register} behind the call at +0x${(site - start).toString(16)}, which the old function leaves alone`;
  }

  /** Which of some registers may be read from an address of a function on before they are written, and which it may return with. */
  #behind(code: Code, from: number, registers: number): { read: number; back: number } {
    let [read, back] = [none, none];
    const seen = new Map<number, number>();
    const work: [at: number, pending: number][] = [[from, registers]];
    for (let next = work.pop(); next; next = work.pop()) {
      let [at, pending] = next;
      for (; at < code.end && !code.literals.has(at) && pending !== none; at += 4) {
        if ((pending & ~(seen.get(at) ?? none)) === none) break;
        seen.set(at, (seen.get(at) ?? none) | pending);
        const word = code.words[(at - code.start) >> 2]!;
        if (isBranch(word)) {
          const target = targetOf(word, at);
          const isAlways = word >>> 28 === always;
          if (isCall(word) || target < code.start || target >= code.end) {
            const taken = pending & this.#taken(target);
            read |= taken;
            const left = pending & ~taken & ~this.#writtenBy(target);
            if (!isCall(word)) back |= left;
            if (isAlways) pending = isCall(word) ? left : none;
          } else {
            work.push([target, pending]);
            if (isAlways) pending = none;
          }
          continue;
        }
        const { reads, writes, conditional, goes } = this.#useOf(word);
        read |= reads & pending;
        if (goes === 'back') back |= pending;
        if (goes === 'anywhere') read |= pending;
        if (goes === 'calls a pointer' || goes === 'leaves by a pointer') read |= pending & argumentsOfCalls;
        if (!conditional) pending = goes === 'on' ? pending & ~writes : none;
      }
    }
    return { read, back };
  }

  /** Which of the registers of arguments a function may read before it writes them. */
  #taken(start: number): number {
    const known = this.#arguments.get(start);
    if (known !== undefined) return known;
    // Whoever comes back here in a circle learns no more than this.
    this.#arguments.set(start, argumentsOfCalls);
    const code = this.#depth < deepest ? this.#codeAt(start) : undefined;
    if (!code || code.start !== start) return argumentsOfCalls;
    this.#depth++;
    const { read } = this.#behind(code, start + (isFrame(code.words[0]!) ? 4 : 0), argumentsOfCalls);
    this.#depth--;
    this.#arguments.set(start, read);
    return read;
  }

  /** What a function, and what it calls by name, is sure to have instructions for that write it: gcc saw these too. */
  #writtenBy(start: number): number {
    let writes = none;
    const reached = new Set([start]);
    for (const each of reached) {
      const own = this.#ownWrites(each);
      writes |= own.writes;
      if (writes === asked || reached.size > mostReached) break;
      for (const callee of own.callees) reached.add(callee);
    }
    return writes;
  }

  #ownWrites(start: number): { readonly writes: number; readonly callees: readonly number[] } {
    const known = this.#written.get(start);
    if (known) return known;
    const code = this.#codeAt(start);
    let writes = none;
    const callees: number[] = [];
    const seen = new Set<number>();
    const work = code ? [start] : [];
    for (let at = work.pop(); at !== undefined && code; at = work.pop()) {
      for (; at < code.end && !code.literals.has(at) && !seen.has(at); at += 4) {
        seen.add(at);
        const word = code.words[(at - code.start) >> 2]!;
        if (isBranch(word)) {
          const target = targetOf(word, at);
          const isOwn = target >= code.start && target < code.end && !isCall(word);
          if (isOwn) work.push(target);
          else callees.push(target);
          if (!isCall(word) && word >>> 28 === always) break;
          continue;
        }
        const use = this.#useOf(word);
        writes |= use.writes;
        // Of what a pointer leads to nobody sees anything, gcc included.
        if (use.goes === 'calls a pointer' || use.goes === 'leaves by a pointer') writes = asked;
        if (use.goes !== 'on' && use.goes !== 'calls a pointer' && !use.conditional) break;
      }
    }
    const found = { writes, callees };
    this.#written.set(start, found);
    return found;
  }

  #branchesTo(target: number): number[] {
    const from = BigInt(target) << 32n;
    let [low, high] = [0, this.#branches.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#branches[middle]! < from) low = middle + 1;
      else high = middle;
    }
    const sites: number[] = [];
    for (; low < this.#branches.length && this.#branches[low]! >> 32n === BigInt(target); low++)
      sites.push(Number(this.#branches[low]! & 0xffffffffn));
    return sites;
  }

  #codeAt(address: number): Code | undefined {
    const bounds = this.#kernel.enclosing(addressOf(address));
    if (!bounds) return undefined;
    const [start, end] = [Number(bounds.start), Number(bounds.end)];
    if (!this.#codes.has(start)) {
      const words = wordsBetween(this.#kernel, start, end);
      const literals = new Set([...words].flatMap((word, i) => literalOf(word, start + 4 * i) ?? []));
      this.#codes.set(
        start,
        words.length === 0 ? undefined : { start, end: start + 4 * words.length, words, literals },
      );
    }
    return this.#codes.get(start);
  }

  #isTraced({ start, words }: Code): boolean {
    const known = this.#traced.get(start);
    if (known !== undefined) return known;
    const found = words.some(
      (word, i) => isBranch(word) && isCall(word) && targetOf(word, start + 4 * i) === this.#mcount,
    );
    this.#traced.set(start, found);
    return found;
  }

  #useOf(word: number): Use {
    const use = this.#uses.get(word) ?? useOf(word);
    this.#uses.set(word, use);
    return use;
  }
}

/** `push {…, lr}`: what gcc pushes of r0 to r3 with that only makes room, since it stores an argument by an instruction of its own. */
function isFrame(word: number): boolean {
  const { encoding, fields } = decode(word) ?? {};
  return encoding?.name.startsWith('PUSH') === true && ((fields?.register_list ?? 0) & (1 << LR)) !== 0;
}

/** How far calls are followed to see what they take. */
const deepest = 64;

/** Who calls so many functions calls one that writes all. */
const mostReached = 256;

const addressOf = (address: number): LinkAddress => linkAddress(BigInt(address));
const targetOf = (word: number, at: number): number => (at + branchDistance(word & 0xffffff)) >>> 0;

/** ldr Rt, [pc, #±imm12]: the address of what it loads. */
function literalOf(word: number, at: number): number | undefined {
  if ((word & 0x0f7f0000) !== 0x051f0000) return undefined;
  const distance = word & 0xfff;
  return at + pcAhead + ((word & 0x00800000) !== 0 ? distance : -distance);
}

function wordsBetween(kernel: KernelText, start: number, end: number): Uint32Array {
  const bytes = kernel.bytes(addressOf(start), (end - start) & ~3) ?? new Uint8Array();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Uint32Array.from({ length: bytes.length >> 2 }, (_, i) => view.getUint32(4 * i, true));
}

const known = new WeakMap<KernelText, Calls>();

/** Why a function of A32 code cannot be replaced by one that keeps to the ABI alone; undefined where it can. */
export function whoCountsOnRegisters(text: FunctionText, kernel: KernelText): string | undefined {
  const calls = known.get(kernel) ?? new Calls(kernel);
  known.set(kernel, calls);
  return calls.whoCounts(text);
}
