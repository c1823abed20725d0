// From a source patch to a patch module: compile before and after, see that before is what was shipped, find what has changed,
// link. The way of the data in one function.

import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Architecture } from '../arch/arch.ts';
import { compileFrame } from '../compile/compile-fix.ts';
import { compilePairs, type ObjectPair, type PairOptions, type Pairs } from '../compile/pairs.ts';
import { diffObjects, type ObjectDiff } from '../diff/diff.ts';
import { type InlinedCall, inlinedOtherwise, inlinedReason } from '../diff/inlining.ts';
import { isInit } from '../diff/kernel-sections.ts';
import { source as sourceName } from '../diff/names.ts';
import { changedLayouts, typeLayouts } from '../diff/type-layouts.ts';
import { isSection } from '../elf/elf.ts';
import type { LinkAddress } from '../elf/units.ts';
import type { LoadedKernel } from '../host/read-kernel.ts';
import { signModule } from '../kernel/module-signature.ts';
import { readSymvers } from '../kernel/module-symvers.ts';
import { chooseWay, type WantedWay } from '../link/choose-way.ts';
import { ImagePlaces } from '../link/image-places.ts';
import { type ChangedFile, diffTogether, joinFiles, newFunctionName, resolveFiles } from '../link/join-files.ts';
import type { KernelPlaces } from '../link/kernel-places.ts';
import { targetOf } from '../link/late-symbols.ts';
import type { LinkedPatch, Replacement } from '../link/link-patch.ts';
import { ModulePlaces, type ModuleSurroundings } from '../link/module-places.ts';
import { checkFidelity } from '../match/fidelity.ts';
import { matchObject } from '../match/match.ts';
import { matchModule } from '../match/match-module.ts';
import { type Reason, reasonError, throwReasons } from '../reason.ts';
import { checkPatchName } from './build-patch.ts';
import { explainRefusal } from './explain-refusal.ts';
import { linkerFor } from './linker-for.ts';
import { type FindTargets, readTargets } from './read-targets.ts';
import { shownElsewhere } from './shown-elsewhere.ts';

export interface SourcePatchOptions extends PairOptions {
  /** Finds the modules that the patch changes or refers to; those of the kernel's packages if left out. */
  readonly targetsNamed?: FindTargets;
  readonly way?: WantedWay;
}

/** What becomes of one file that a patch changes. */
export interface PatchedFile {
  /** The source file, from the top of the tree. */
  readonly path: string;
  /** The module that it is part of; '' for vmlinux. */
  readonly module: string;
  /** Functions of the kernel that are replaced. */
  readonly replaced: readonly string[];
  /** Functions that go along because those need them: new ones, and such that cannot be redirected. */
  readonly alongside: readonly string[];
}

export interface SourcePatch extends LinkedPatch {
  readonly name: string;
  /** What it was linked of. */
  readonly replacements: readonly Replacement[];
  readonly files: readonly PatchedFile[];
  /** What the compiler said, and what a person should know of what was left out or added. */
  readonly remarks: readonly string[];
}

/**
 * Builds a patch module in memory from a unified diff; `place` is what errors call it, `name` the module's. The bytes are
 * signed; what is to be proven is in them. Throws `ReasonError`: whatever compiling, comparing, binding and linking throw.
 */
export async function buildSourcePatch(
  kernel: LoadedKernel,
  patch: string,
  place: string,
  name: string,
  options: SourcePatchOptions = {},
): Promise<SourcePatch> {
  checkPatchName(name);
  const pairs = await compilePairs(kernel.stored, kernel.arch, patch, place, options);
  return linkPairs(kernel, pairs, place, name, options);
}

/** The second half of that, once the pairs are compiled. */
export const linkPairs: typeof linkCompiled = (kernel, pairs, ...rest) =>
  linkCompiled(kernel, pairs, ...rest).catch(async (error: unknown) => {
    throw await explainRefusal(error, kernel, pairs);
  });

async function linkCompiled(
  kernel: LoadedKernel,
  { pairs: compiled, remarks, source }: Pairs,
  place: string,
  name: string,
  { targetsNamed = (names) => readTargets(kernel, [], names), way, progress = () => {} }: SourcePatchOptions,
): Promise<SourcePatch> {
  const { arch, stored, image, furtherSymbols } = kernel;
  const { link, core } = await linkerFor(kernel, progress);
  // Kbuild names an object that several modules have after all of them; in each it is another one.
  const pairs = compiled.flatMap((pair) => pair.module.split(':').map((module): ObjectPair => ({ ...pair, module })));

  progress('comparing with the kernel as shipped');
  const exporters = await exportersIn(stored);
  const targets = await targetsNamed(modulesAround(pairs, exporters));
  const around = { arch, image, targets, exporters };
  const shown = new Map<string, LinkAddress>();
  const places = pairs.map((pair) => placesOf(kernel, pair, around, shown));
  progress('comparing before and after');
  const { diffs, inlined } = compareAll(arch, pairs);
  const files = pairs.map(
    ({ path, module }, i): ChangedFile => ({ path, module, diff: diffs[i]!, places: places[i]! }),
  );
  throwReasons([
    ...files.flatMap(({ path, diff }) =>
      diff.reasons.map((reason) => ({ ...reason, place: `${path}: ${reason.place}` })),
    ),
    ...changedTypes(pairs),
  ]);
  const search = { kernel: stored, platform: arch.platform, source, progress };
  for (const [each, address] of await shownElsewhere(kernel, search, files)) shown.set(each, address);
  const resolved = resolveFiles(arch, files);
  if (resolved.replaced.length === 0) throw nothing(place, files);

  progress('linking');
  const named = resolved.replaced.map((each, i) => ({ ...each, newName: newFunctionName(i) }));
  const frame = await compileFrame(stored, arch, name, named, resolved.objects);
  const { object, replacements } = joinFiles(arch, frame, resolved);
  const linked = link({
    arch,
    abi: kernel.abi,
    callSites: kernel.callSites,
    selfModified: kernel.selfModified,
    sources: { image, core, furtherSymbols },
    object,
    name,
    replacements,
    targets,
    way: chooseWay(kernel, way),
  });
  return {
    ...linked,
    bound: new Map([...linked.bound, ...resolved.bound]),
    bytes: await signModule(linked.bytes),
    name,
    replacements,
    files: files.map(({ path, module, diff }) => {
      const replaced = resolved.replaced.filter((each) => each.path === path && each.module === module);
      const functions = diff.selection.included.filter(({ kind }) => kind === 'function');
      return {
        path,
        module,
        replaced: replaced.map(({ oldName }) => oldName),
        alongside: functions
          .filter((piece) => !replaced.some((each) => each.piece === piece))
          .map((piece) => piece.name),
      };
    }),
    remarks: [
      ...new Set([
        ...remarks,
        ...files.flatMap(({ path, diff }) => diff.remarks.map((remark) => `${path}: ${remark}`)),
        ...pairs.flatMap(({ path }, i) => inlined[i]!.map((call) => `${path}: ${describeInlined(call)}`)),
        ...resolved.remarks,
      ]),
    ],
  };
}

/**
 * What has changed in each pair, the functions included that the kernel has a changed one inlined in, and which calls those are.
 * Throws `inlined-otherwise` for one that cannot be replaced.
 */
function compareAll(arch: Architecture, pairs: readonly ObjectPair[]) {
  const compare = (also: readonly (readonly InlinedCall[])[]) =>
    diffTogether(pairs, (pair, wanted) => {
      const replacedToo = new Set(also[pairs.indexOf(pair)]?.map(({ caller }) => caller));
      const [original, patched] = [pair.original, pair.patched].map((model) => ({ name: pair.path, model }));
      return diffObjects(original!, patched!, { wanted, replacedToo, noSectionAnchors: true });
    });
  const inlinedIn = (diffs: readonly ObjectDiff[]) =>
    pairs.map(({ path, plain, original }, i) => {
      const changed = diffs[i]!.changed.map((each) => each.name);
      return inlinedOtherwise(plain, original, arch.objectCode, changed, path);
    });
  const first = compare([]);
  const found = inlinedIn(first);
  if (found.every((calls) => calls.length === 0)) return { diffs: first, inlined: found };
  const diffs = compare(found);
  const isReplaced = (i: number, { caller }: InlinedCall) =>
    diffs[i]!.changed.some(({ name }) => sourceName(name) === caller) || isStartUp(pairs[i]!, caller);
  throwReasons(
    inlinedIn(diffs).flatMap((calls, i) =>
      calls.filter((call) => !isReplaced(i, call)).map((call) => inlinedReason(call, pairs[i]!.path)),
    ),
  );
  return { diffs, inlined: found.map((calls, i) => calls.filter(({ caller }) => !isStartUp(pairs[i]!, caller))) };
}

const isStartUp = ({ original }: ObjectPair, name: string): boolean =>
  original.symbols.some((symbol) => symbol.name === name && isSection(symbol.place) && isInit(symbol.place.name));

const describeInlined = ({ caller, callee }: InlinedCall): string =>
  `${caller} is replaced too: the kernel may have ${callee} inlined in it`;

/** Where the kernel has what a file refers to, once it is seen that the file is what the kernel was made of. */
function placesOf(
  { arch, image, furtherSymbols }: LoadedKernel,
  { path, module, plain }: ObjectPair,
  around: ModuleSurroundings,
  shown: ReadonlyMap<string, LinkAddress>,
): KernelPlaces {
  if (module === '') {
    const match = matchObject(plain, image, arch);
    checkFidelity(match, path, image.banner);
    return new ImagePlaces(arch, { image, furtherSymbols, shownElsewhere: shown }, path, plain, match);
  }
  const target = targetOf(module, around.targets);
  const match = matchModule(plain, target.model, arch);
  checkFidelity(match, path, image.banner);
  return new ModulePlaces(around, target, path, plain, match);
}

/** Which module exports a symbol, by the headers' Module.symvers; the kernel itself is left out. */
async function exportersIn({ headers }: LoadedKernel['stored']): Promise<ReadonlyMap<string, string>> {
  const symvers = readSymvers(await readFile(join(headers, 'Module.symvers'), 'utf8'));
  return new Map(
    symvers
      .filter(({ module }) => module !== 'vmlinux')
      .map(({ name, module }) => [name, basename(module).replaceAll('-', '_')]),
  );
}

/** The modules that files are part of, and those that export what they use. */
function modulesAround(pairs: readonly ObjectPair[], exporters: ReadonlyMap<string, string>): string[] {
  const ofModules = pairs.filter(({ module }) => module !== '');
  const used = ofModules.flatMap(({ patched }) =>
    patched.symbols.flatMap(({ name, place }) => (place === 'undefined' ? (exporters.get(name) ?? []) : [])),
  );
  return [...new Set([...ofModules.map(({ module }) => module), ...used])];
}

/** What the kernel has made of a type, and stored of an enumeration, stays as it is, so new code must find it so. Each type is told once, with the files that use it. */
function changedTypes(pairs: readonly ObjectPair[]): Reason[] {
  const users = new Map<string, string[]>();
  for (const { path, original, patched } of pairs) {
    const [before, after] = [typeLayouts(original, path), typeLayouts(patched, path)];
    if (!before || !after) continue;
    for (const type of changedLayouts(before, after)) users.set(type, [...(users.get(type) ?? []), path]);
  }
  return [...users].map(([type, [first, ...others]]) => ({
    code: 'type-changed',
    place: `${first}: ${type}`,
    message: `${type.startsWith(enumerator) ? otherNumber : otherLayout}${others.length > 0 ? `; it is used in ${few(others)} too` : ''}`,
    remedy: type.startsWith(enumerator)
      ? 'leave it as it is, and give what is new a number that none had'
      : 'leave it as it is, and keep what is new in a shadow variable (klp_shadow_alloc)',
  }));
}

const enumerator = 'enumerator ';
const otherLayout = 'the fix lays it out otherwise, and the kernel may have objects that lie as before';
const otherNumber = 'the fix gives it another number, and the kernel may have stored the one from before';

const few = (names: readonly string[]): string =>
  names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more files` : names.join(', ');

function nothing(place: string, files: readonly ChangedFile[]) {
  const remarks = files.flatMap(({ diff }) => diff.remarks);
  return reasonError(
    'nothing-to-patch',
    place,
    `the patch changes no function of the kernel${remarks.length > 0 ? `: ${remarks.join('; ')}` : ''}`,
    'give a patch that changes what a function does',
  );
}
