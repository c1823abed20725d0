// Where ARM's hook reads `function_trace_op`, a symbol that the kernel's own table does not have.

import { proofFacts } from '../../src/arch/arm/proof-facts.ts';
import { linkAddress } from '../../src/elf/units.ts';
import type { KernelImage } from '../../src/kernel/image.ts';

export function handlersOps(image: KernelImage): bigint {
  const { entry, handlerCall, handlerArguments } = proofFacts.hook;
  const word = (address: bigint): number | undefined => image.word(linkAddress(address));
  return handlerArguments.findOps!(word, image.symbol(entry)!, image.symbol(handlerCall)!)!;
}
