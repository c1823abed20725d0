// The second thread of `prove --all` and `audit` (prove-together.ts): it reads the kernel by itself, makes the proofs that it is asked
// for, and in between goes ahead of the first through the words of functions. Should it fail, the first thread finds that
// nothing comes, does all itself, and meets the same failure where it can be told.

import { once } from 'node:events';
import { parentPort } from 'node:worker_threads';
import { loadKernelCode } from '../host/read-kernel.ts';
import { joinWords } from '../kernel/old-function.ts';
import { chooseWay } from '../link/choose-way.ts';
import { newFunctions } from '../link/link-whole-kernel.ts';
import { Prover } from '../prove/prove-module.ts';
import { type AskedProof, type ToldProof, takeProof } from './asked-proofs.ts';
import { allFunctions } from './prove-functions.ts';
import { countParts, type FoundAhead, type Order, partOf, type ReadKernel } from './prove-together.ts';

const [order] = (await once(parentPort!, 'message')) as [Order];
const { port, taken } = order;
const kernel = await loadKernelCode(order.kernel);
const prover = new Prover(kernel);
port.postMessage({ buildId: kernel.image.buildId.bytes.slice() } satisfies ReadKernel);

port.on('message', ({ index, redirect }: AskedProof) => {
  if (!takeProof(taken, index)) return;
  const verdict = prover.prove(redirect);
  // What a counterexample refers to cannot be handed over.
  port.postMessage({ index, verdict: verdict.verdict === 'refuted' ? undefined : verdict } satisfies ToldProof);
});

const { stackArguments } = kernel.arch;
if (stackArguments) {
  const functions = allFunctions(kernel, chooseWay(kernel, order.wanted));
  const newFunction = newFunctions(kernel);
  const goAhead = (part: number): void => {
    if (part >= countParts(functions)) return;
    const codes = partOf(functions, part).map(newFunction);
    const lengths = codes.map(({ length }) => length);
    const words = joinWords(codes);
    const found = codes.map((code) => stackArguments.find(code));
    port.postMessage({ part, words, lengths, found } satisfies FoundAhead, [words.buffer]);
    goOn(part);
  };
  /** The first thread is at work on the one that it is in, and soon on the next. */
  const goOn = (last: number): void => void setImmediate(goAhead, Math.max(last + 1, Atomics.load(order.part, 0) + 2));
  goOn(0);
}
