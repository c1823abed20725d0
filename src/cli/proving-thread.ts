// The second thread of `prove --all` and `audit` (prove-together.ts): it reads the kernel by itself, and proves one part of its
// functions after another for as long as there is one that nobody has taken. Should it fail, the first thread finds
// its parts missing, proves them, and meets the same failure where it can be told.

import { parentPort, workerData } from 'node:worker_threads';
import { loadKernel } from '../host/read-kernel.ts';
import { chooseWay } from '../link/choose-way.ts';
import { Prover } from '../prove/prove-module.ts';
import { allFunctions, proveFunctions } from './prove-functions.ts';
import { exchangeBy, type Order, type ProvenPart, partOf, takePart } from './prove-together.ts';

const { kernel: name, wanted, taken, proofs } = workerData as Order;
const kernel = await loadKernel(name);
const way = chooseWay(kernel, wanted);
const functions = allFunctions(kernel, way);
const prover = new Prover(kernel, exchangeBy(proofs));
for (;;) {
  const part = takePart(taken, functions.length);
  if (part === undefined) break;
  const judged = proveFunctions(kernel, prover, partOf(functions, part), () => {}, way);
  parentPort!.postMessage({
    part,
    addresses: judged.map(({ address }) => address),
    // What a counterexample refers to cannot be handed over.
    answers: judged.some(({ verdict }) => verdict?.verdict === 'refuted')
      ? undefined
      : judged.map(({ code, reasons, verdict }) => ({ code, reasons, ...(verdict && { verdict }) })),
    redirects: prover.differentRedirects,
  } satisfies ProvenPart);
}
