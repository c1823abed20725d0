// When only __LINE__ has changed. A fix moves all the code below it in its file, and whatever has a line number in it changes
// with it: the argument of a warning, an entry of the bug table, the descriptor of a pr_debug(). Such a function is none
// of those that the fix is about.
//
// So that nothing else is taken for a line number: every word that differs must load a number into just the argument in
// which the next function that is called takes a line, on a straight way to it and as the last to load that argument; or a message prints it whose warning has an entry in the bug table
// that has moved from and to the same line. The numbers need not have moved by one distance: code of functions
// from elsewhere in the file is inlined.

import type { ObjectCode } from '../arch/arch.ts';
import { branchAt, wordAt } from './instructions.ts';
import { type DiffedObject, type Piece, type Reference, resolvedBranch } from './object.ts';

/**
 * Functions that take the line they are called from, and in which argument, counted from 0 (their declarations in Linux 6.1:
 * include/linux/{kernel,lockdep,cred,jbd2}.h, include/asm-generic/bug.h, include/net/xdp.h, include/sound/core.h, and the
 * file systems' and drivers' own headers). Others are added as they are met; without them more is replaced than need be.
 */
const takesLine: Readonly<Record<string, number>> = {
  warn_slowpath_fmt: 1,
  __warn: 1,
  __might_sleep: 1,
  __might_resched: 1,
  __might_fault: 1,
  __cant_sleep: 1,
  __cant_migrate: 1,
  lockdep_rcu_suspicious: 1,
  __validate_creds: 2,
  xdp_warn: 2,
  __snd_printk: 2,
  __jbd2_debug: 3,
  assertfail: 2,
  __btrfs_handle_fs_error: 2,
  __btrfs_abort_transaction: 2,
  __btrfs_panic: 2,
  __ext4_iget: 4,
  __ext4_warning_inode: 2,
  __ext4_error: 2,
  __ext4_error_inode: 2,
  __ext4_error_file: 2,
  __ext4_std_error: 2,
  __ext4_warning: 2,
  __ext4_mark_inode_dirty: 3,
  __ext4_journal_start_sb: 1,
  __ext4_journal_start_reserved: 1,
  __ext4_journal_get_write_access: 1,
  __ext4_journal_get_create_access: 1,
  __ext4_journal_stop: 1,
  __ext4_forget: 1,
  __check_block_validity: 2,
  __ext4_handle_dirty_metadata: 1,
  gfs2_consist_i: 3,
  gfs2_consist_inode_i: 3,
  gfs2_consist_rgrpd_i: 3,
  gfs2_io_error_i: 3,
  ubifs_assert_failed: 3,
  xfs_errortag_test: 3,
};

/** Prints the message of a warning, in which there may be the line, as ASSERT_RTNL() has it (linux/rtnetlink.h, 6.1). */
const printsWarning = '__warn_printk';

/** A line before and after, as one value. */
export const moved = (before: number, after: number): string => `${before} ${after}`;

/** A number is loaded at most this many words before the call. */
const farthestLoad = 24;

/**
 * Whether the words of a function differ in nothing but line numbers. `before` and `after` are the bytes without what
 * relocations fill, of the same length; `piece` is either of the two, whose references are the same, in its object; `movedLines` are those of
 * their entries in the bug table.
 */
export function onlyLinesDiffer(
  before: Uint8Array,
  after: Uint8Array,
  piece: Piece,
  { code, instructions }: Pick<DiffedObject, 'code' | 'instructions'>,
  movedLines: ReadonlySet<string>,
): boolean {
  const [a, b] = [view(before), view(after)];
  const base = piece.origin - piece.start;
  let next = 0;
  const differ = (from: number, to: number) => {
    for (let at = from; at < to; at++) if (before[at] !== after[at]) return true;
    return false;
  };
  let end = 0;
  const places = instructions(piece);
  for (const [i, place] of places.entries()) {
    const at = place - piece.start;
    // What is no instruction has no line in it that could be told.
    if (differ(end, at)) return false;
    const [old, now] = [wordAt(a, at), wordAt(b, at)];
    const size = code.instructionSize(old);
    end = at + size;
    if (!differ(at, end)) continue;
    const [was, is] = [code.loadsArgument(old), code.loadsArgument(now)];
    if (code.instructionSize(now) !== size) return false;
    if (!was || was.argument !== is?.argument) return false;
    const { references } = piece;
    while (next < references.length && (references[next]!.offset + base < at || !isCall(piece, next, b, code))) next++;
    const call = references[next];
    if (!call || call.offset + base > at + 4 * farthestLoad) return false;
    // Only what the call gets: not what is overwritten before it, nor what control takes elsewhere.
    for (const later of places.slice(i + 1)) {
      if (later - piece.start >= call.offset + base) break;
      if (branchAt(code, b, later - piece.start)) return false;
      if (code.loadsArgument(wordAt(b, later - piece.start))?.argument === was.argument) return false;
    }
    const name = calledName(call);
    if (name === printsWarning ? !movedLines.has(moved(was.value, is.value)) : takesLine[name] !== was.argument)
      return false;
  }
  return !differ(end, before.length);
}

/** Whether a reference is a branch out of the function: what stands there decides, not the relocation. */
function isCall(piece: Piece, index: number, words: DataView, code: ObjectCode): boolean {
  const { offset, type } = piece.references[index]!;
  const at = offset + piece.origin - piece.start;
  if (type === resolvedBranch) return true;
  return branchAt(code, words, at) !== undefined;
}

const calledName = ({ to }: Reference): string => (to.piece ? to.piece.name : (to.symbol?.name ?? ''));

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** A string without the lines of __FILE__ ":" __stringify(__LINE__), as fortified memcpy() has it (linux/fortify-string.h, 6.1). */
export const withoutLines = (text: Uint8Array): string =>
  Array.from(text, (character) => String.fromCharCode(character))
    .join('')
    .replace(/(\.[chS]:)\d+/g, '$1');
