// The codes of refusals and faults, and what each means.
//
// Everything that ends a command other than well carries one of these codes, the place it is about and, where there
// is one, what the user can do next. Codes are relied on from outside (`--json`): add to them, never rename one.

/** `fault`: exit status 1 (usage, a missing tool or file, a bug). `refused`: exit status 2 (a verdict about the input). */
export type ReasonKind = 'fault' | 'refused';

/** Every code with its kind and its meaning. */
export const reasonCodes = {
  // Faults.
  usage: ['fault', 'the command line is not one that this command takes'],
  'kernel-unknown': ['fault', 'no kernel of this name is in the cache'],
  'file-missing': ['fault', 'a file that the command needs cannot be read'],
  'output-failed': ['fault', 'the result could not be written'],
  'tool-missing': ['fault', 'a program that this step runs is not installed'],
  'tool-failed': ['fault', 'a program that this step runs ended with an error'],
  'fetch-failed': ['fault', 'a package could not be had from the configured sources'],
  interrupted: ['fault', 'the command was interrupted'],
  bug: ['fault', 'an error inside Suture itself'],

  // ELF files.
  'elf-malformed': ['refused', 'the file is not a well-formed ELF file'],
  'elf-unsupported': ['refused', 'the file is ELF, but of a class, byte order or machine that Suture does not know'],

  // Kernels as shipped.
  'kernel-incomplete': ['refused', 'the kernel in the cache lacks a part that this command needs'],
  'packed-data-unreadable': [
    'refused',
    'compressed data is damaged, too large or packed in a way that Suture does not know',
  ],
  'image-unreadable': ['refused', 'the kernel image cannot be unpacked or is not a kernel image'],
  'kallsyms-unreadable': ['refused', 'the symbol table inside the kernel image cannot be read'],
  'system-map-malformed': ['refused', 'the System.map cannot be read'],
  'kernel-unsupported': ['refused', 'the kernel is one that this command cannot serve yet'],
  'not-configured': ['refused', 'a kernel’s configuration does not take an option of its recipe'],
  'module-abi-unknown': ['refused', 'what the loader of this kernel expects of a module cannot be learned'],

  // Functions that cannot be redirected.
  'no-call-site': ['refused', 'the function has no ftrace call site'],
  'prologue-unknown': ['refused', 'the code before the call site is not understood, so it cannot be undone'],
  'stack-arguments': ['refused', 'the new function uses stack arguments in a way that cannot be kept'],
  'self-modified-unknown': ['refused', 'the places that the kernel rewrites in this function cannot be told'],
  'nameless-body': ['refused', 'the call site is in the body of an overridden weak function, which has lost its name'],
  'never-left': ['refused', 'some task may always be inside the function, unseen, so no patch of it could take effect'],
  'init-text': ['refused', 'the function or the data is in memory that the kernel gives back after start-up'],

  // Compiling a source patch.
  'patch-unreadable': ['refused', 'the source patch is not a unified diff of text files'],
  'patch-does-not-apply': ['refused', 'the source patch does not fit the source of the kernel'],
  'not-compiled': ['refused', 'the source patch changes a file that is not compiled in the kernel’s configuration'],
  'build-files': ['refused', 'the source patch changes how the kernel is configured or built'],
  'made-otherwise': [
    'refused',
    'what the kernel’s build makes of a changed file is not, or not only, code of the kernel',
  ],
  'file-removed': ['refused', 'the source patch takes a file away, or renames one, that the kernel was made of'],
  'too-many-files': ['refused', 'more files include what the source patch changes than are to be compiled'],
  'build-differs': ['refused', 'what is compiled here is not what the kernel was made of'],

  // Building a live patch.
  'whole-module': ['refused', 'the fix is a whole livepatch module, not only the functions'],
  'compile-failed': ['refused', 'the compiler does not accept the fix'],
  'fix-unsupported': ['refused', 'the fix has something in it that a patch cannot carry'],
  'nothing-to-patch': ['refused', 'the fix replaces no function of the kernel'],
  'compiler-made-copy': ['refused', 'the old function is a copy that the compiler made, with arguments of its own'],
  'way-missing': ['refused', 'functions of this kernel cannot be redirected in the way that was asked for'],
  'entry-rewritten': ['refused', 'the kernel rewrites the word at the function’s entry itself'],
  'entry-in-use': [
    'refused',
    'the word at the function’s entry cannot become a branch without changing what the function is',
  ],
  'replaced-twice': ['refused', 'two functions of the fix replace the same function of the kernel'],
  'patch-too-large': ['refused', 'the patch is beyond what the core takes'],
  'name-missing': ['refused', 'a name that the fix uses is not in the kernel'],
  'name-ambiguous': ['refused', 'the kernel has several symbols of this name'],
  'data-address-unknown': ['refused', 'the address of data that is not exported is not in the image'],
  'relocation-unsupported': ['refused', 'a relocation is of a kind that cannot be put into a module'],

  // Adapting a standard livepatch module.
  'klp-patch-unknown': ['refused', 'what the module says of itself as a live patch cannot be read from its file'],
  'target-missing': ['refused', 'a module that the patch changes is neither given nor one of the kernel’s own'],
  'already-adapted': ['refused', 'the module was made by Suture and needs no adapting'],

  // What a fix has changed in an object.
  'objects-unrelated': ['refused', 'the two files are not objects of one source, before and after a fix'],
  'data-changed': ['refused', 'the fix changes data that the kernel has in use, or has read already'],
  'export-changed': ['refused', 'the fix changes which symbols are exported'],
  'variable-ambiguous': ['refused', 'it cannot be told which variable of the original one of the new code is'],
  'nameless-code': ['refused', 'the fix changes code that belongs to no function, so nothing can be redirected'],
  'inlined-otherwise': [
    'refused',
    'the kernel may have a changed function inlined where the patch’s own object calls it',
  ],
  'type-changed': [
    'refused',
    'the fix lays out a structure or numbers an enumeration otherwise, and the kernel may have stored it',
  ],
  'layout-changed': ['refused', 'the new code counts on how variables lie in their section, and they lie otherwise'],
  'jump-label': ['refused', 'the new code has a jump label whose key a patch cannot refer to'],
  'sibling-call': ['refused', 'the new code leaves a function by a jump that a patch must not have'],
  'table-unknown': ['refused', 'a table that Suture does not know is about the new code'],

  // Patch modules.
  'not-a-patch-module': ['refused', 'the file is not a patch module made by Suture'],
  'patch-malformed': ['refused', 'the tables of the patch module contradict themselves or the file'],
  'wrong-kernel': ['refused', 'the patch module, or a file that was given with the kernel, belongs to another kernel'],

  // Proofs.
  'proof-refuted': ['refused', 'the redirect breaks something that it must keep; a counterexample shows what'],
  'redirect-unusable': [
    'refused',
    'the assembly does not define what a redirect is made of, or not in a way that can be read',
  ],
  'proof-unknown': ['refused', 'whether the redirect keeps all that it must cannot be told'],

  'own-livepatch': ['refused', 'the kernel redirects with live patching of its own, so there is nothing here to prove'],

  // Rehearsal.
  'guest-failed': ['fault', 'the guest did not boot, did not answer, or ended before it was told to'],
  'rehearsal-failed': ['refused', 'the rehearsal did not go as it should'],
} as const satisfies Record<string, readonly [ReasonKind, string]>;

export type ReasonCode = keyof typeof reasonCodes;

/** One reason as `--json` prints it. */
export interface Reason {
  readonly code: ReasonCode;
  /** What it is about: a function, a section and offset, a file, a step. */
  readonly place: string;
  readonly message: string;
  /** What the user can do next; empty where nothing helps. */
  readonly remedy: string;
}

/** Thrown by every room when it cannot go on. Carries all the reasons found, at least one. */
export class ReasonError extends Error {
  readonly reasons: readonly [Reason, ...Reason[]];

  constructor(...reasons: [Reason, ...Reason[]]) {
    super(reasons.map((r) => `${r.place ? `${r.place}: ` : ''}${r.message}`).join('\n'));
    this.name = 'ReasonError';
    this.reasons = reasons;
  }

  /** `fault` as soon as one reason is a fault: a verdict reached on a broken machine is no verdict. */
  get kind(): ReasonKind {
    return this.reasons.some((r) => reasonCodes[r.code][0] === 'fault') ? 'fault' : 'refused';
  }
}

/** A `ReasonError` with one reason. */
export function reasonError(code: ReasonCode, place: string, message: string, remedy = ''): ReasonError {
  return new ReasonError({ code, place, message, remedy });
}

/** Throws a `ReasonError` with these reasons, if there are any. */
export function throwReasons(reasons: readonly Reason[]): void {
  const [first, ...others] = reasons;
  if (first) throw new ReasonError(first, ...others);
}

/** Runs a step. If it is refused, its reasons are kept and nothing is returned; any other error goes through. */
export type Attempt = <T>(step: () => T) => T | undefined;

/** For work that goes on after a refusal, to find every reason and not only the first: a list, and what adds to it. */
export function collectReasons(): { readonly reasons: Reason[]; readonly attempt: Attempt } {
  const reasons: Reason[] = [];
  const attempt: Attempt = (step) => {
    try {
      return step();
    } catch (error) {
      if (!(error instanceof ReasonError)) throw error;
      reasons.push(...error.reasons);
      return undefined;
    }
  };
  return { reasons, attempt };
}
