// suture prove: whether redirects keep what they must.

import { assembleRedirect } from '../compile/assemble-redirect.ts';
import { type LoadedKernel, loadKernel } from '../host/read-kernel.ts';
import { checkSignature } from '../kernel/module-signature.ts';
import type { Way } from '../kernel/patch-module.ts';
import { chooseWay, type WantedWay } from '../link/choose-way.ts';
import { hasLivepatch } from '../link/link-for-livepatch.ts';
import { tracedFunctions } from '../link/link-whole-kernel.ts';
import { readOwnRedirect } from '../prove/own-redirect.ts';
import { symbolsOfHook } from '../prove/prove-kernel.ts';
import { Prover } from '../prove/prove-module.ts';
import { proveOwnRedirect } from '../prove/prove-own.ts';
import { type Reason, ReasonError, reasonCodes, reasonError } from '../reason.ts';
import type { Addition, Context, Outcome } from './command.ts';
import { ownLivepatch } from './describe-livepatch.ts';
import {
  describeRedirectProof,
  describeVerdict,
  type ProvenTogether,
  reasonsAgainst,
  reasonsTogether,
  reportOf,
} from './describe-proof.ts';
import { columns } from './output.ts';
import { allFunctions, countCodes, type JudgedFunction, proveFunctions } from './prove-functions.ts';
import { ProvingThreads } from './prove-together.ts';
import { checkPatchIsFor, readPatch } from './read-patch.ts';
import { wayOption } from './way-option.ts';
import { withCommas } from './with-commas.ts';

interface ProveOptions {
  readonly kernel: string;
  readonly all?: boolean;
  readonly redirect?: string;
  readonly function?: readonly string[];
  readonly way: WantedWay;
}

export const proveCommand: Addition = (program, act) => {
  program
    .command('prove')
    .description('prove that the redirects of a patch keep the ABI: from image and module alone, wherever it is loaded')
    .argument('[patch]', 'the patch module')
    .requiredOption('--kernel <name>', 'the kernel it is for (see `suture kernel list`)')
    .option('--all', 'every function of the kernel, with the redirect that `suture build` would make')
    .addOption(wayOption('with --all: how functions are redirected'))
    .option('--redirect <F.S>', 'a hook or a stub of your own, in assembly; docs/proof.md says what it defines')
    .option('--function <name>', 'only functions of this name; may be given again', also)
    .action(
      act(async (context, patch: string | undefined, options: ProveOptions) => {
        const { redirect, all } = options;
        if ([patch, redirect, all].filter((each) => each !== undefined).length !== 1) {
          throw reasonError(
            'usage',
            'prove',
            'it takes one of a patch module, --all and --redirect',
            '`suture prove --help` says more',
          );
        }
        if (!all && options.way !== 'auto') {
          throw reasonError(
            'usage',
            'prove',
            `--way goes with --all; which way ${patch ? 'a patch goes is in the module' : 'a file of your own goes is in the file'}`,
            'leave it out',
          );
        }
        context.progress(`reading ${options.kernel}`);
        if (patch !== undefined) return provePatch(context, patch, options);
        return redirect === undefined ? proveAll(context, options) : proveRedirect(context, redirect, options);
      }),
    );
};

const also = (value: string, before: readonly string[] = []): string[] => [...before, value];

async function provePatch(context: Context, file: string, options: ProveOptions): Promise<Outcome> {
  const patch = await readPatch(file);
  const kernel = await loadKernel(options.kernel);
  checkPatchIsFor(kernel, kernel.stored.name, patch, file);
  const { module } = await checkSignature(patch.bytes);
  context.progress('proving');
  const proofs = new Prover(kernel).proveModule(module, file, { only: options.function });
  checkNames(
    proofs.map(({ oldName }) => oldName),
    options,
    file,
  );
  const reasons = proofs.flatMap(({ oldName, verdict }) => reasonsAgainst(oldName, verdict));
  const rows = proofs.map(({ oldName, newName, verdict }) => [
    verdict.verdict,
    oldName,
    newName === oldName ? '' : `by ${newName}`,
  ]);
  return {
    result: { redirects: proofs.map(describeRedirectProof) },
    text: [
      columns(rows),
      ...reportOf(
        proofs.map(({ oldName, verdict }) => ({ names: [oldName], verdict })),
        kernel.arch,
      ),
    ].join('\n\n'),
    ...statusOf(reasons),
  };
}

async function proveAll(context: Context, options: ProveOptions): Promise<Outcome> {
  if (options.function) return proveSome(context, options);
  const threads = new ProvingThreads(options.kernel, options.way);
  try {
    const { kernel, way, traced, told } = await readForAll(context, options);
    const judged = await threads.prove(kernel, traced, way, told);
    return describeAll(kernel, way, judged, threads.differentRedirects);
  } finally {
    await threads.stop();
  }
}

/** The same for the functions that have been named: each of them must be proven, those that no redirect can be made of too. */
async function proveSome(context: Context, options: ProveOptions): Promise<Outcome> {
  const { kernel, way, traced, told } = await readForAll(context, options);
  const prover = new Prover(kernel);
  const judged = proveFunctions(kernel, prover, traced, told, way);
  return {
    ...describeAll(kernel, way, judged, prover.differentRedirects),
    ...statusOf(judged.flatMap(({ reasons }) => reasons)),
  };
}

async function readForAll(context: Context, options: ProveOptions) {
  const kernel = await loadKernel(options.kernel);
  if (hasLivepatch(kernel.image)) throw new ReasonError(ownLivepatch(kernel.stored.name));
  const way = chooseWay(kernel, options.way);
  const traced = allFunctions(kernel, way).filter(({ name }) => options.function?.includes(name) ?? true);
  checkNames(
    traced.map(({ name }) => name),
    options,
    kernel.stored.name,
  );
  const told = (done: number) => context.progress(`proving: ${done} of ${traced.length} functions`);
  return { kernel, way, traced, told };
}

/** `different`: how many different redirects these are. */
function describeAll(kernel: LoadedKernel, way: Way, judged: readonly JudgedFunction[], different: number): Outcome {
  const counts = countCodes(judged);
  const where = way === 'entry' ? 'an entry' : 'a call site';
  const together = togetherOf(judged);
  return {
    result: {
      way,
      functions: judged.length,
      differentRedirects: different,
      counts,
      others: judged.filter(({ code }) => code !== 'proven').map(describeJudged),
    },
    text: [
      describeCounts(`${judged.length} functions with ${where} in ${kernel.stored.name}`, counts, different),
      ...reportOf(together, kernel.arch),
    ].join('\n\n'),
    ...statusOf(reasonsTogether(together)),
  };
}

/** Functions that have one verdict between them. */
function togetherOf(judged: readonly JudgedFunction[]): ProvenTogether[] {
  const names = new Map<ProvenTogether['verdict'], string[]>();
  for (const { name, verdict } of judged) {
    if (!verdict) continue;
    const same = names.get(verdict);
    if (same) same.push(name);
    else names.set(verdict, [name]);
  }
  return [...names].map(([verdict, same]) => ({ names: same, verdict }));
}

async function proveRedirect(context: Context, file: string, options: ProveOptions): Promise<Outcome> {
  const kernel = await loadKernel(options.kernel);
  const { withoutFtraceWay } = kernel.arch;
  if (withoutFtraceWay !== undefined) {
    throw reasonError(
      'way-missing',
      file,
      withoutFtraceWay,
      'name a kernel of other code: a file is of the ftrace way',
    );
  }
  context.progress(`assembling ${file}`);
  const { object, linked } = await assembleRedirect(file, kernel.stored, kernel.image, symbolsOfHook(kernel));
  const own = readOwnRedirect(object, linked, kernel.arch, file);
  const traced = tracedFunctions(kernel).filter(({ name }) => options.function?.includes(name) ?? true);
  checkNames(
    traced.map(({ name }) => name),
    options,
    kernel.stored.name,
  );
  const proofs = proveOwnRedirect(kernel, own, traced, (done) =>
    context.progress(`proving: ${done} of ${traced.length} functions`),
  );
  const together = proofs
    .map(({ functions, verdict }) => ({
      names: own.callSite ? ['call_site'] : functions.map(({ name }) => name),
      verdict,
    }))
    .sort((a, b) => b.names.length - a.names.length);
  return {
    result: {
      groups: together.map(({ names, verdict }, i) => ({
        functions: names.length,
        examples: names.slice(0, fewNames),
        // One trace is as good as hundreds.
        ...(i < mostTold ? describeVerdict(verdict) : { verdict: verdict.verdict }),
      })),
    },
    text: [columns(countVerdicts(together)), ...reportOf(together, kernel.arch)].join('\n\n'),
    ...statusOf(reasonsTogether(together)),
  };
}

/** Of functions that share a verdict, so many are named; and so many groups are told of in full. */
const fewNames = 3;
const mostTold = 20;

function countVerdicts(together: readonly ProvenTogether[]): string[][] {
  return (['proven', 'refuted', 'unknown'] as const).flatMap((wanted) => {
    const groups = together.filter(({ verdict }) => verdict.verdict === wanted);
    const names = groups.flatMap((group) => group.names);
    if (names.length === 0) return [];
    const some = names.slice(0, fewNames).join(', ');
    return [[wanted, withCommas(names.length), names.length > fewNames ? `${some}, …` : some]];
  });
}

const describeJudged = ({ name, address, code, reasons, verdict }: JudgedFunction) => ({
  function: name,
  address,
  code,
  message: reasons.map(({ message }) => message).join('; '),
  ...(verdict && describeVerdict(verdict)),
});

function describeCounts(title: string, counts: ReturnType<typeof countCodes>, proofs: number): string {
  const rows = [...counts].map(([code, count]) => [
    `  ${withCommas(count).padStart(7)}`,
    code,
    code === 'proven' ? `(${proofs} different redirects)` : reasonCodes[code][1],
  ]);
  return `${title}\n${columns(rows)}`;
}

/** Refuses a name that nothing has: a proof of nothing is none. */
function checkNames(found: readonly string[], { function: wanted = [] }: ProveOptions, place: string): void {
  const missing = wanted.find((name) => !found.includes(name));
  if (missing === undefined) return;
  throw reasonError('name-missing', missing, `no redirect of ${place} is of a function of this name`, 'check the name');
}

/** A verdict of no, with the reasons. */
const statusOf = (reasons: readonly Reason[]): Pick<Outcome, 'status' | 'reasons'> =>
  reasons.length > 0 ? { status: 'refused', reasons } : {};
