// What a comparison with the image comes to: may what is compiled here be trusted to be what the kernel was made of?

import { type Reason, ReasonError } from '../reason.ts';
import type { MatchedRegion, ObjectMatch } from './match.ts';

/** How many functions of an object came out how. */
export interface FidelityCounts {
  readonly functions: number;
  readonly same: number;
  readonly different: number;
  /** Weak functions that the kernel does not use. */
  readonly overridden: number;
  readonly notCompared: number;
}

export function countFunctions({ regions }: Pick<ObjectMatch, 'regions'>): FidelityCounts {
  const functions = regions.filter(({ isFunction }) => isFunction);
  const count = (verdict: MatchedRegion['verdict']) => functions.filter((each) => each.verdict === verdict).length;
  return {
    functions: functions.length,
    same: count('same'),
    different: count('different'),
    overridden: count('overridden'),
    notCompared: count('not-compared'),
  };
}

/** Where a difference is: `fs/proc/cmdline.c: cmdline_proc_show+0x10 (image 0xc0615ab0)`. */
function placeOf(path: string, { name, address, difference }: MatchedRegion): string {
  const offset = difference?.offset ?? 0;
  const there = address === undefined ? '' : ` (image 0x${(address + BigInt(offset)).toString(16)})`;
  return `${path}: ${name}${offset === 0 ? '' : `+0x${offset.toString(16)}`}${there}`;
}

/**
 * Refuses a build that is not the kernel's, with the first difference. `path` is the source file, `banner` what the kernel says
 * of its compiler. One difference is enough, in whatever function: who knows what else the other build does otherwise.
 * Throws `build-differs`.
 */
export function checkFidelity(match: Pick<ObjectMatch, 'regions' | 'data'>, path: string, banner: string): void {
  const different = match.regions.filter(({ verdict }) => verdict === 'different');
  const reasons: Reason[] = [];
  const remedy = `compile the source of this very kernel with the compiler that it names: ${banner.trim()}`;
  const [first] = different;
  if (first) {
    const { functions } = countFunctions(match);
    const others =
      different.length === 1 ? '' : `; ${different.length} of ${functions} functions differ, this is the first`;
    reasons.push({
      code: 'build-differs',
      place: placeOf(path, first),
      message: `${first.difference?.message ?? 'it is not the same'}${others}`,
      remedy,
    });
  }
  const [data] = match.data;
  if (data) {
    const place = `${path}: ${data.section}+0x${data.offset.toString(16)}`;
    reasons.push({ code: 'build-differs', place, message: data.message, remedy });
  }
  const [reason, ...others] = reasons;
  if (reason) throw new ReasonError(reason, ...others);
}
