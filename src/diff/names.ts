// What compilers and the kernel's macros make of names. A number at the end of a name counts what came before it in the file,
// so it changes with any edit above; what is left without it, the stem, says what the thing is.
//
//     count.3                   a static local
//     CSWTCH.12, C.5.7          a switch made into a table; a constant
//     __func__.0                the name of a function
//     f.isra.0, f.constprop.1   copies of f with arguments of their own; .part is a piece of f, .cold what of it is unlikely
//     __UNIQUE_ID_ddebug200.2   __UNIQUE_ID() of linux/compiler.h, Linux 6.1: two counters
//     __initcall__kmod_m__202_9_f6   module_init() of linux/init.h, Linux 6.1: a counter and the line
//     __key.1, _rs.2, __already_done.4, _entry.7   the kernel's own static locals

/** Whether the compiler numbered this name, or a macro did. */
export const isNumbered = (name: string): boolean => /\.\d+$|^__UNIQUE_ID_|^__initcall__kmod_/.test(name);

/** A name without its numbers. Clones keep what they are: `f.isra`. */
export function stem(name: string): string {
  const base = name.replace(/(\.\d+)+(?=\.|$)/g, '');
  if (base.startsWith('__initcall__')) return base.replace(/__\d+_\d+_/, '_');
  return base.startsWith('__UNIQUE_ID_') ? base.replace(/\d+$/, '') : base;
}

const cloneSuffix = /\.(isra|constprop|part|cold|lto_priv)(\.|$)/;

/** Whether a function is a copy or a part that the compiler made of another. */
export const isClone = (name: string): boolean => cloneSuffix.test(name);

/** The function of the source that a function or a copy of it comes from. */
export const source = (name: string): string => name.split('.', 1)[0]!;

/**
 * Static locals of the kernel's macros whose contents may be lost: whether a message has been printed, how often, or what
 * lockdep calls a lock. A copy of a function may have its own.
 */
export const isExpendable = (name: string): boolean =>
  /^(__already_done|__warned|__print_once|__key|_rs|___?rs|__ret_warn_once|___done|__UNIQUE_ID_ddebug|descriptor|_entry|_entry_ptr)$/.test(
    stem(name),
  );

/** Constants that the compiler made of code: nobody tells one from another by its address. */
export const isOfCompiler = (name: string): boolean =>
  /^(C|CSWTCH|__func__|__FUNCTION__|__PRETTY_FUNCTION__)$/.test(stem(name));

/** A static key of a tracepoint: nothing but tracing is lost where its jump label is left out. */
export const isTracepoint = (name: string): boolean => name.startsWith('__tracepoint_');

/** What somebody should know where `owner`, a function, has a jump label of such a key. */
export const tracepointLost = (owner: string, key: string): string =>
  `${owner} no longer reaches the tracepoint ${key.slice('__tracepoint_'.length)}, whose key is not exported: while the patch is applied such events are lost`;
