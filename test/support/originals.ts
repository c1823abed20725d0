// What mutants are made of: the stock kernels' hooks, and redirects that the builder makes.

import { arm } from '../../src/arch/arm/arm.ts';
import { encode as encodeArm } from '../../src/arch/arm/instructions.ts';
import { proofFacts as armFacts } from '../../src/arch/arm/proof-facts.ts';
import { makeStub } from '../../src/arch/ppc64le/ftrace-redirect.ts';
import { encode } from '../../src/arch/ppc64le/instructions.ts';
import { proofFacts as ppc64leFacts } from '../../src/arch/ppc64le/proof-facts.ts';
import { linkAddress } from '../../src/elf/units.ts';
import type { KernelImage } from '../../src/kernel/image.ts';
import { wordsOf } from '../../src/kernel/old-function.ts';
import type { Hook, Redirect } from '../../src/prove/redirect.ts';
import { handlersOps } from './handlers-ops.ts';
import { type Originals, wordsBetween } from './mutants.ts';
import { stockImage } from './stock-image.ts';

function ppc64leOriginals(image: KernelImage): Originals {
  const toc = [encode('addis', { RT: 2, 'RA|0': 12, SI: 1 }), encode('addi', { RT: 2, 'RA|0': 2, SI: 256 })];
  const site = [encode('mfspr', { RT: 0, spr: 8 }), encode('bl', { LI: 0 })];
  const redirects = [toc, []].flatMap((setUp) =>
    [0, 1, 4].map((stackArguments) => {
      const { words, relocations } = makeStub(stackArguments);
      const stub = { words: Uint32Array.from(words, ({ word }) => word), relocations };
      const redirect: Redirect = {
        prologue: Uint32Array.of(...setUp, ...site),
        stub,
        stackArguments,
        siblingCalls: true,
      };
      return { name: `with${setUp.length > 0 ? '' : 'out'} a TOC, ${stackArguments} stack arguments`, redirect };
    }),
  );
  const hook = hookOf(image, ppc64leFacts, image.symbol('function_trace_op')!);
  return {
    facts: ppc64leFacts,
    hook,
    hookWords: [
      ...wordsBetween(hook.entry, image.symbol('ftrace_caller')!),
      ...wordsBetween(image.symbol('ftrace_stub')!, image.symbol('ppc32_classify_syscall')!),
    ],
    redirects,
    nop: encode('ori', { RS: 0, RA: 0, UI: 0 }),
    bits: 32,
    stubEnd: 0,
  };
}

/** One function for each prologue that there is. */
function armOriginals(image: KernelImage): Originals {
  const redirects = new Map<string, { name: string; redirect: Redirect }>();
  const sites = arm.findCallSites(image);
  for (const { name, address, function: start } of sites.filter(
    (each, i) => each.function !== sites[i - 1]?.function,
  )) {
    const { end } = image.enclosing(start)!;
    const words = wordsOf(image.bytes(start, Number(end - start) & ~3)!);
    const prologue = words.slice(0, Number(address - start) / 4 + 1);
    const key = String(prologue.slice(0, -1));
    if (redirects.has(key) || prologue.length > 7) continue;
    const { words: stub, relocations } = arm.ftraceStub({ name, address: start, words }, address, new Uint32Array());
    redirects.set(key, {
      name,
      redirect: {
        prologue,
        stub: { words: Uint32Array.from(stub, ({ word }) => word), relocations },
        stackArguments: 8,
      },
    });
  }
  const hook = {
    ...hookOf(image, armFacts, handlersOps(image)),
    graph: {
      site: image.symbol('ftrace_graph_regs_call')!,
      goesTo: image.symbol('ftrace_graph_regs_caller')!,
      callee: image.symbol('prepare_ftrace_return')!,
    },
  };
  return {
    facts: armFacts,
    hook,
    hookWords: [
      ...wordsBetween(hook.entry, image.symbol('ftrace_graph_caller')!),
      ...wordsBetween(hook.graph.goesTo, image.symbol('return_to_handler')!),
    ],
    redirects: [...redirects.values()],
    nop: encodeArm('MOV (register)', { S: 0, Rd: 0, Rm: 0 }),
    // The others are the condition.
    bits: 28,
    // The last word of a stub carries the relocation, and stays where it is.
    stubEnd: 1,
  };
}

/** Whether two addresses are on one page and not far from each other. */
const near = (a: bigint, b: bigint): boolean => a >> 12n === b >> 12n && (a > b ? a - b : b - a) < 0x200n;

const hookOf = (image: KernelImage, { hook }: Originals['facts'], ops: bigint): Hook => ({
  entry: image.symbol(hook.entry)!,
  handlerCall: image.symbol(hook.handlerCall)!,
  ops,
  enabled: hook.findEnabled?.(
    (address) => image.word(linkAddress(address)),
    image.symbol(hook.entry)!,
    image.symbol(hook.handlerCall)!,
  ),
  word: (address) => image.word(linkAddress(address)),
  // So much of the kernel's memory is on the stages of QEMU: what the hook reads, and a little around.
  isThere: (address) => near(address, ops),
  symbol: (name) => image.symbol(name),
});

/** Of a stock kernel in the cache. */
export async function originalsOf(kernel: string): Promise<Originals> {
  const image = await stockImage(kernel);
  return kernel.includes('arm') ? armOriginals(image) : ppc64leOriginals(image);
}
