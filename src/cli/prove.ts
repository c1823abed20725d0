// suture prove: whether redirects keep what they must.

import { loadKernel } from '../host/read-kernel.ts';
import { checkSignature } from '../kernel/module-signature.ts';
import { tracedFunctions } from '../link/link-whole-kernel.ts';
import { Prover } from '../prove/prove-module.ts';
import { type Reason, reasonCodes, reasonError } from '../reason.ts';
import type { Addition, Context, Outcome } from './command.ts';
import { describeRedirectProof, describeVerdict, reasonsAgainst } from './describe-proof.ts';
import { columns } from './output.ts';
import { countCodes, type JudgedFunction, proveFunctions } from './prove-functions.ts';
import { checkPatchIsFor, readPatch } from './read-patch.ts';

interface ProveOptions {
  readonly kernel: string;
  readonly all?: boolean;
  readonly function?: readonly string[];
}

export const proveCommand: Addition = (program, act) => {
  program
    .command('prove')
    .description('prove that the redirects of a patch keep the ABI: from image and module alone, wherever it is loaded')
    .argument('[patch]', 'the patch module')
    .requiredOption('--kernel <name>', 'the kernel it is for (see `suture kernel list`)')
    .option('--all', 'every function of the kernel, with the redirect that `suture build` would make')
    .option('--function <name>', 'only functions of this name; may be given again', also)
    .action(
      act(async (context, patch: string | undefined, options: ProveOptions) => {
        if ((patch === undefined) === (options.all === undefined)) {
          throw reasonError('usage', 'prove', 'it takes either a patch module or --all', '`suture prove --help`');
        }
        context.progress(`reading ${options.kernel}`);
        return patch === undefined ? proveAll(context, options) : provePatch(context, patch, options);
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
    text: columns(rows),
    ...statusOf(reasons),
  };
}

async function proveAll(context: Context, options: ProveOptions): Promise<Outcome> {
  const kernel = await loadKernel(options.kernel);
  const prover = new Prover(kernel);
  const traced = tracedFunctions(kernel).filter(({ name }) => options.function?.includes(name) ?? true);
  checkNames(
    traced.map(({ name }) => name),
    options,
    kernel.stored.name,
  );
  const judged = proveFunctions(kernel, prover, traced, (done) =>
    context.progress(`proving: ${done} of ${traced.length} functions`),
  );
  const counts = countCodes(judged);
  const reasons = judged.filter(({ verdict }) => verdict !== undefined).flatMap((each) => each.reasons);
  return {
    result: {
      functions: judged.length,
      differentRedirects: prover.proofs,
      counts,
      others: judged.filter(({ code }) => code !== 'proven').map(describeJudged),
    },
    text: describeCounts(`${judged.length} functions with a call site in ${kernel.stored.name}`, counts, prover.proofs),
    ...statusOf(reasons),
  };
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
    `  ${count.toLocaleString('en').padStart(7)}`,
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

/** A verdict of no, with the reasons; several at once are too many to be read beyond these. */
const statusOf = (reasons: readonly Reason[]): Pick<Outcome, 'status' | 'reasons'> =>
  reasons.length > 0 ? { status: 'refused', reasons } : {};
