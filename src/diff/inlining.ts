// Whether two compilations of one source have inlined alike. The original object of a pair is compiled with other options than the
// kernel was; what it shows to be called, the kernel may have inlined. A fix of that function alone would then leave the old code
// where it is inlined: so the function in which it is has to be replaced as well. (Where only the pair's object has inlined it, that is
// done anyway, and does no harm.)

import type { ObjectCode } from '../arch/arch.ts';
import type { ElfModel } from '../elf/model.ts';
import type { Reason } from '../reason.ts';
import { branchAt } from './instructions.ts';
import { source } from './names.ts';
import { isCode, type Piece } from './object.ts';
import { viewOf } from './resolve.ts';
import { takeApart } from './take-apart.ts';

/** How often each function calls each other one of its file, by their names in the source. */
type Calls = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** A call that the pair's object makes, and that the kernel may have inlined; both by their names in the source. */
export interface InlinedCall {
  readonly caller: string;
  readonly callee: string;
}

/**
 * Each call that `sectioned` has and `plain` has not, or less often, of a function that leads to one of `changed` (names of
 * functions, as the objects have them). `name` is what errors call the file. Throws `elf-malformed`.
 */
export function inlinedOtherwise(
  plain: ElfModel,
  sectioned: ElfModel,
  code: ObjectCode,
  changed: readonly string[],
  name: string,
): InlinedCall[] {
  const [before, calls] = [callsIn(plain, code, name), callsIn(sectioned, code, name)];
  const leading = new Set(changed.map(source));
  // A set may grow while it is walked through.
  for (const callee of leading) for (const [caller, called] of calls) if (called.has(callee)) leading.add(caller);
  return [...calls].flatMap(([caller, called]) =>
    [...called].flatMap(([callee, count]) =>
      leading.has(callee) && count > (before.get(caller)?.get(callee) ?? 0) ? [{ caller, callee }] : [],
    ),
  );
}

/** Why a call stands in the way, where its caller cannot be replaced. */
export const inlinedReason = ({ caller, callee }: InlinedCall, name: string): Reason => ({
  code: 'inlined-otherwise',
  place: `${name}: ${caller}`,
  message: `the kernel may have ${callee} inlined in it, and what is compiled for the patch calls it`,
  remedy: `change ${caller} as well, or give both functions as a C file`,
});

function callsIn(model: ElfModel, code: ObjectCode, name: string): Calls {
  const calls = new Map<string, Map<string, number>>();
  for (const piece of takeApart(model, code, name).pieces) {
    if (piece.kind !== 'function') continue;
    const caller = source(piece.name);
    for (const { to, offset } of piece.references) {
      if (to.piece?.kind !== 'function' || !isCode(to.piece) || !isBranch(piece, offset, code)) continue;
      const callee = source(to.piece.name);
      // A part of its own of the same function, or itself.
      if (callee === caller) continue;
      const called = calls.get(caller) ?? new Map<string, number>();
      calls.set(caller, called.set(callee, (called.get(callee) ?? 0) + 1));
    }
  }
  return calls;
}

function isBranch({ section, origin }: Piece, offset: number, code: ObjectCode): boolean {
  return branchAt(code, viewOf(section), origin + offset) !== undefined;
}
