// What the kernel makes of a section of an object, by its name (include/asm-generic/vmlinux.lds.h, include/linux/init.h and
// export.h, Linux 6.1): whether what has changed in it can take effect in a kernel that runs already.

import type { ReasonCode } from '../reason.ts';

/** Why a change in a section cannot be patched. */
export interface Refusal {
  readonly code: ReasonCode;
  readonly why: string;
  readonly remedy: string;
}

/** What a patch made from source cannot do, and a module that is written as a livepatch module can. */
const callback = 'write the fix as a livepatch module with a post_patch callback, which `suture adapt` takes';

const init: Refusal = {
  code: 'init-text',
  why: 'it is only used while the kernel or its module starts, which has happened',
  remedy: `leave that part of the fix out; if it must be made up for in a kernel that runs, ${callback}`,
};
const exports: Refusal = {
  code: 'export-changed',
  why: 'what is exported cannot change while modules may be using it',
  remedy: 'leave EXPORT_SYMBOL as it was',
};
const interfaces: Refusal = {
  code: 'data-changed',
  why: 'the kernel has read this table when it or its module was loaded',
  remedy: 'leave module parameters, trace events and the like as they were',
};
const typeNumbers: Refusal = {
  code: 'data-changed',
  why: 'its numbers of types are filled in when the kernel is linked (tools/bpf/resolve_btfids), so new ones would be 0',
  remedy: 'leave lists of BTF types as they were',
};
const data: Refusal = {
  code: 'data-changed',
  why: 'the kernel that runs has its own copy, with whatever it holds by now',
  remedy: `leave it as it was, and have the code use a variable of a new name, or a shadow variable (klp_shadow_alloc); to change the kernel's own copy, ${callback}`,
};

/** Sections that are read by what the kernel or its loader does with all of them, whoever refers to them. */
const registered: readonly (readonly [RegExp, Refusal])[] = [
  [/^\.\w*initcall|^\.(init_array|ctors|exitcall|init\.setup|pci_fixup)|^__earlycon/, init],
  [/^_{2,3}k(symtab|crctab)|^\.export_symbol/, exports],
  [/^\.BTF_ids/, typeNumbers],
  [/^(__param|__tracepoints|_ftrace_events|__bpf_raw_tp|_error_injection)/, interfaces],
];

/** Whether what is new in a section has an effect by itself, without any code that refers to it. */
export const isRegistered = (section: string): boolean => registered.some(([name]) => name.test(section));

/** Why a change of something in a section of this name cannot be patched. */
export const refusalOf = (section: string): Refusal =>
  registered.find(([name]) => name.test(section))?.[1] ?? (isInit(section) ? init : data);

/** Whether code or data is gone, or out of use, once the kernel or the module has started. */
export const isInit = (section: string): boolean => /^\.(init|meminit)\./.test(section);

/**
 * Sections whose changes mean nothing to a kernel that runs: what describes the module, what tools leave for each other, what the
 * build makes anew for every module.
 */
export const isIgnored = (section: string): boolean =>
  /^(\.modinfo|\.discard|\.note|\.comment|\.eh_frame|\.orc_|\.debug|\.BTF(?!_ids)|__versions|\.gnu\.linkonce|\.printk_index|__patchable_function_entries|\.stubs|\.plt|\.init\.plt|\.ftrace\.tramp)/.test(
    section,
  );
