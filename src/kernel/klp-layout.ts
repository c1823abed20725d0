// How the compiler laid out what a livepatch module says of itself: struct klp_patch, klp_object and klp_func of
// <linux/livepatch.h>, as our header has them. The core tells it (core/layout.c), since nothing may be guessed here.

import { reasonError } from '../reason.ts';

interface Layout<Member extends string> {
  /** In bytes, as are the offsets. */
  readonly size: number;
  readonly offset: Readonly<Record<Member, number>>;
}

export interface KlpLayout {
  readonly patch: Layout<'mod' | 'objs'>;
  readonly object: Layout<'name' | 'funcs'>;
  readonly func: Layout<'old_name' | 'new_func' | 'old_sympos'>;
}

/** From what the core tells: `klp_patch` is a size, `klp_patch.objs` an offset. Throws `bug` if a name is missing. */
export function klpLayout(told: ReadonlyMap<string, string>): KlpLayout {
  const number = (name: string): number => {
    const value = Number(told.get(name));
    if (!Number.isInteger(value)) throw reasonError('bug', 'suture.ko', `it does not tell ${name}`);
    return value;
  };
  const layout = <M extends string>(type: string, members: readonly M[]): Layout<M> => ({
    size: number(type),
    offset: Object.fromEntries(members.map((member) => [member, number(`${type}.${member}`)])) as Record<M, number>,
  });
  return {
    patch: layout('klp_patch', ['mod', 'objs']),
    object: layout('klp_object', ['name', 'funcs']),
    func: layout('klp_func', ['old_name', 'new_func', 'old_sympos']),
  };
}
