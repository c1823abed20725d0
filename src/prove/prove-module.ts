// The redirects of a finished patch module, each proven from two artifacts: the module's bytes and the image as shipped.
//
// The module says which function it redirects and with which stub; it is believed in nothing that the image can tell. So
// the old function's words are the image's, and the module's own copy must be the same. For a function of another module,
// whose image is not at hand, they are the table's: those the core compares with memory before it redirects anything.
//
// Where a kernel unwinds by tables, they must forbid it for stubs. What a proof says nothing about is what a module's own code
// does when it is loaded.

import type { Architecture, EntryBranch, KernelText, UnwindingOf } from '../arch/arch.ts';
import type { Callee, ProofFacts } from '../arch/machine.ts';
import { type LinkAddress, linkAddress } from '../elf/units.ts';
import { type LoadedStub, StubLoader } from '../kernel/load-module.ts';
import { isFunction, symbolsNamed, wholeWords, wordsOf } from '../kernel/old-function.ts';
import { packField } from '../kernel/patch-module.ts';
import { type PatchModule, type ReadRedirect, readPatchModule } from '../kernel/read-patch-module.ts';
import { ReasonError, reasonError } from '../reason.ts';
import { InstructionAddresses } from './instruction-addresses.ts';
import { factsOf, kernelHook, type ProofKernel, prologueOf, textOf } from './prove-kernel.ts';
import type { Hook, Redirect, Verdict } from './redirect.ts';
import { SharedProofs } from './shared-proofs.ts';

/** One redirect of a module. */
interface NamedRedirect {
  readonly oldName: string;
  /** The module that the old function is in; undefined for the kernel itself. */
  readonly module: string | undefined;
  /** The old function's address, 0 for one of a module. */
  readonly oldAddress: LinkAddress;
  /** From the function's first byte to its call site, in bytes. */
  readonly site: number;
  readonly newName: string;
}

/** And what was found of it. */
export interface RedirectProof extends NamedRedirect {
  readonly verdict: Verdict;
}

/** And what is to be proven of it; or the verdict already, where the module or the image does not let it come to that. */
export interface AskedRedirect extends NamedRedirect {
  readonly asked: Redirect | Verdict;
}

export interface ProveOptions {
  /** Only the redirects of functions that have one of these names. */
  readonly only?: readonly string[] | undefined;
  /** Told of every redirect that is done. */
  readonly progress?: ((done: number, all: number) => void) | undefined;
}

const instructionSize = 4;
/** Where instructions have several lengths. */
const shortestInstruction = 2;

/**
 * Proves redirects on one kernel. Functions with the same prologue and the same stub share one proof, also across
 * modules: addresses do not enter into it.
 */
export class Prover {
  readonly #kernel: ProofKernel;
  readonly #facts: ProofFacts;
  readonly #proofs: SharedProofs;
  /** Why there is no hook, on a kernel that has none. */
  readonly #withoutHook: ReasonError | undefined;
  readonly #word: Hook['word'];
  readonly #sites: InstructionAddresses;

  /** Throws `proof-unknown` for an architecture on which nothing can be proven. */
  constructor(kernel: ProofKernel) {
    this.#kernel = kernel;
    this.#facts = factsOf(kernel);
    this.#word = textOf(kernel);
    const hook = hookOf(kernel);
    if (hook instanceof ReasonError) this.#withoutHook = hook;
    // Nothing of the entry way leads through it.
    const none: Hook = { entry: 0n, handlerCall: 0n, word: this.#word };
    this.#proofs = new SharedProofs(this.#facts, hook instanceof ReasonError ? none : hook);
    this.#sites = new InstructionAddresses(
      kernel.image,
      kernel.callSites.map(({ address }) => address),
    );
  }

  /** How many different redirects it has proven. */
  get differentRedirects(): number {
    return this.#proofs.size;
  }

  /** A text that only redirects of the same verdict have, the same for all provers on this kernel. */
  keyOf(redirect: Redirect): string {
    return this.#proofs.keyOf(redirect);
  }

  prove(redirect: Redirect): Verdict {
    return this.#proofs.prove(redirect);
  }

  /** Proves the redirects of a module, given as its bytes. Throws what `readModule` throws. */
  proveModule(bytes: Uint8Array, file: string, { only, progress }: ProveOptions = {}): RedirectProof[] {
    const all = this.readModule(bytes, file, only);
    return all.map(({ asked, ...named }, i) => {
      const verdict = 'verdict' in asked ? asked : this.prove(asked);
      progress?.(i + 1, all.length);
      return { ...named, verdict };
    });
  }

  /**
   * Reads what is to be proven of a module, given as its bytes; `only` as in `ProveOptions`. Throws what `readPatchModule` throws, and
   * `wrong-kernel`.
   */
  readModule(bytes: Uint8Array, file: string, only?: readonly string[]): AskedRedirect[] {
    const patch = readPatchModule(bytes, file);
    this.#checkKernel(patch, file);
    const loader = new StubLoader(patch);
    const written = new Set(patch.recipes.map(({ place }) => place.section));
    const unwinding = this.#kernel.arch.unwindingOf?.(patch.model, (section) => written.has(section));
    const chosen = patch.redirects.filter(({ oldName }) => only?.includes(oldName) ?? true);
    /** By the words of new functions. */
    const callees = new Map<Uint32Array, Callee>();
    return chosen.map((redirect) => {
      const { oldName, module, oldAddress, site, newFunction } = redirect;
      const asked = this.#redirectOf(patch, loader, callees, unwinding, redirect);
      return { oldName, module, oldAddress, site, newName: newFunction.name, asked };
    });
  }

  /** What is to be proven of a redirect of a module; or that it is unknown, because of what the module or the image says. */
  #redirectOf(
    patch: PatchModule,
    loader: StubLoader,
    callees: Map<Uint32Array, Callee>,
    unwinding: ReturnType<UnwindingOf> | undefined,
    redirect: ReadRedirect,
  ): Redirect | Verdict {
    try {
      const prologue = redirect.module === undefined ? this.#ofImage(redirect) : this.#ofTable(redirect);
      const stub = loader.load(redirect);
      const { section, offset } = redirect.stub;
      // Who unwinds from where the hook goes on looks at the word before it.
      const isEntry = redirect.way === 'entry';
      if (!isEntry && this.#withoutHook) throw this.#withoutHook;
      const astray = isEntry ? undefined : unwinding?.(section, offset - instructionSize, offset + redirect.stubSize);
      if (astray !== undefined) throw cannotUnwind(redirect, astray);
      const island = isEntry ? this.#islandOf(patch, redirect) : undefined;
      const { stackArguments, usesParameterArea, siblingCalls } = this.#calleeOf(stub, callees);
      return { prologue, stub, island, stackArguments, usesParameterArea, siblingCalls };
    } catch (error) {
      if (!(error instanceof ReasonError)) throw error;
      return { verdict: 'unknown', reasons: [error.message] };
    }
  }

  /** What a new function's code tells of it; told once, however many redirects lead to it. */
  #calleeOf({ newFunction, waysIn }: LoadedStub, known: Map<Uint32Array, Callee>): Callee {
    const callee = known.get(newFunction) ?? this.#facts.readCallee(newFunction, waysIn);
    known.set(newFunction, callee);
    return callee;
  }

  /** The island that the core would make, if the branch that it would make is one of this architecture. Throws `proof-unknown`. */
  #islandOf({ entry }: PatchModule, redirect: ReadRedirect): EntryBranch['island'] {
    const ours = this.#kernel.arch.entryWay;
    if (!entry || !ours || describeBranch(entry) !== describeBranch(ours))
      throw differs(redirect, redirect.site, 'what its entry would become is no branch that is known');
    return entry.island;
  }

  #ofTable(redirect: ReadRedirect): Uint32Array {
    if (redirect.way === 'entry') {
      if (!this.#kernel.arch.entryWay?.ofModules)
        throw differs(redirect, redirect.site, 'from the text of a module no branch reaches an island');
      checkEntrySite(this.#kernel.arch, redirect, undefined);
    }
    return ofTable(redirect, this.#facts);
  }

  /** Whether a call of mcount begins in [address, address + size). */
  #hasSite(address: LinkAddress, size: number): boolean {
    for (let at = 0; at < size; at += shortestInstruction) if (this.#sites.has(address + BigInt(at))) return true;
    return false;
  }

  #checkKernel(patch: PatchModule, file: string): void {
    const { buildId } = this.#kernel.image;
    const same = patch.buildId.length === buildId.bytes.length && patch.buildId.every((b, i) => b === buildId.bytes[i]);
    if (same && patch.arch === this.#kernel.arch) return;
    throw reasonError(
      'wrong-kernel',
      file,
      'it was made for a kernel with another build id',
      'name the kernel that it was made for, or build it for this one',
    );
  }

  /** The old function's words from its entry up to and with its site, from the image. Throws `proof-unknown`. */
  #ofImage(redirect: ReadRedirect): Uint32Array {
    const { oldName, oldAddress, oldWords, site, way } = redirect;
    const { image } = this.#kernel;
    const at = (offset: number): LinkAddress => linkAddress(oldAddress + BigInt(offset));
    if (!symbolsNamed(image.kallsyms, oldName).some((each) => each.address === oldAddress && isFunction(each)))
      throw differs(redirect, 0, 'the kernel has no function of this name at the address that the module tells');
    const bytes = image.bytes(oldAddress, instructionSize * oldWords.length);
    const inImage = bytes && wordsOf(bytes);
    const same = inImage ? sameWords(oldWords, inImage) : 0;
    if (same < oldWords.length) {
      throw differs(redirect, instructionSize * same, 'the module has another word for it than the image');
    }
    const enclosing = image.enclosing(at(site));
    // The core looks on stacks for the words that the module tells of.
    const words = enclosing ? wholeWords(Number(enclosing.end - oldAddress)) / instructionSize : 0;
    if (enclosing?.start === oldAddress && oldWords.length !== words) {
      const bytes = (count: number): number => instructionSize * count;
      throw differs(redirect, 0, `the module has ${bytes(oldWords.length)} bytes of it, and the image ${bytes(words)}`);
    }
    if ((way === 'ftrace' && !this.#sites.has(at(site))) || enclosing?.start !== oldAddress)
      throw differs(redirect, site, 'the image has no call of mcount there');
    if (way === 'entry') {
      // One that begins before the word may have its end in it.
      const [from, size] = [at(site - shortestInstruction), instructionSize + shortestInstruction];
      if (this.#hasSite(from, size)) throw differs(redirect, site, 'a call of mcount is there, which ftrace rewrites');
      const isTraced = this.#hasSite(oldAddress, instructionSize * oldWords.length);
      checkEntrySite(this.#kernel.arch, redirect, isTraced ? undefined : image);
    }
    return prologueOf(this.#kernel, this.#word, { name: oldName, address: oldAddress, site: at(site) }, way);
  }
}

/**
 * That the word which becomes a branch is the one that each caller comes to, and nobody else. `kernel` is the text around a
 * function that nothing shows to be compiled from C. Throws `proof-unknown`.
 */
function checkEntrySite(arch: Architecture, redirect: ReadRedirect, kernel: KernelText | undefined): void {
  const { oldName: name, oldAddress: address, oldWords: words, masked, site } = redirect;
  if (site !== instructionSize * (arch.entryWay?.site(words) ?? -1))
    throw differs(redirect, site, 'this is not where each caller enters it');
  if (masked.includes(site / instructionSize))
    throw differs(redirect, site, 'the loader or the kernel changes this word');
  const text = { name, address, words };
  const hindrance = arch.entryWay!.hindrance(text, kernel) ?? (kernel && arch.entryWay!.doubt(text, kernel));
  if (hindrance !== undefined) throw differs(redirect, site, hindrance);
}

/** How many words two lists have in common, from their starts on. */
function sameWords(a: Uint32Array, b: Uint32Array): number {
  const most = Math.min(a.length, b.length);
  let same = 0;
  while (same < most && a[same] === b[same]) same++;
  return same;
}

/** The kernel's hook, or why there is none. */
function hookOf(kernel: ProofKernel): Hook | ReasonError {
  try {
    return kernelHook(kernel);
  } catch (error) {
    if (error instanceof ReasonError) return error;
    throw error;
  }
}

/** A branch and an island as a text: of each word its value, and where which bits go. */
const describeBranch = ({ branch, island }: EntryBranch): string =>
  [
    ...[branch.word, branch.addend, branch.range, branch.shift, branch.flip, Number(island.always)],
    ...[branch.fields.length, ...branch.fields.map(packField)],
    ...island.words.flatMap(({ word, field }) => [word, field ? packField(field) : 0]),
  ].join();

/** The same for a function of a module, from the table. Throws `proof-unknown`. */
function ofTable(redirect: ReadRedirect, { convention }: ProofFacts): Uint32Array {
  const { masked, oldWords, site } = redirect;
  if (site % instructionSize !== 0 || site / instructionSize >= oldWords.length)
    throw differs(redirect, site, 'the call site is not in the function');
  // The words that set up a TOC pointer the loader may replace by others that do.
  const setUp = convention.toc?.setUpWords(oldWords) ?? 0;
  const before = masked.find((index) => index >= setUp && index < site / instructionSize);
  if (before !== undefined) {
    throw differs(redirect, instructionSize * before, 'the loader or the kernel changes this word of the prologue');
  }
  return oldWords.slice(0, site / instructionSize + 1);
}

const cannotUnwind = ({ oldName }: ReadRedirect, message: string): ReasonError =>
  reasonError(
    'proof-unknown',
    `the stub of ${oldName}`,
    `whoever unwinds from it may be led astray: ${message}`,
    '`suture build` adds tables that forbid it',
  );

const differs = ({ oldName }: ReadRedirect, offset: number, message: string): ReasonError =>
  reasonError(
    'proof-unknown',
    `${oldName}+0x${offset.toString(16)}`,
    message,
    'build the patch again for the very kernel that it is to be loaded into',
  );
