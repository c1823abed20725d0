// Calls in code that is compiled as part of the kernel and goes into a module.
//
// Two functions of one file have one TOC pointer, so behind a call from one to the other the compiler leaves no room to
// restore r2 (ELFv2 ABI 1.5, section 2.2.1). In a patch the caller may be new and the callee the kernel's: the loader then
// makes a stub that saves r2, and wants a nop behind the call to put `ld r2,24(r1)` into (restore_r2 in
// arch/powerpc/kernel/module_64.c, Linux 6.1). So each call gets its nop while it is still assembly, where labels keep
// distances right.
//
// Left alone are the call of _mcount, which saves and restores what it uses and is where ftrace has its own nop, and
// assembly that the source itself has (between #APP and #NO_APP), which says what its calls change.

const call = /^\s+bl\s+(?!_mcount\b)/;

/** `Platform.assemblyForModule`. */
export function assemblyForModule(assembly: string): string {
  const lines = assembly.split('\n');
  let isOfSource = false;
  return lines
    .flatMap((line, i) => {
      if (line.startsWith('#APP')) isOfSource = true;
      if (line.startsWith('#NO_APP')) isOfSource = false;
      return !isOfSource && call.test(line) && lines[i + 1]?.trim() !== 'nop' ? [line, '\tnop'] : [line];
    })
    .join('\n');
}
