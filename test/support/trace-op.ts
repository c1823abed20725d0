// Where ARM's hook reads `function_trace_op`, a symbol that the kernel's own table does not have.

import { decode } from '../../src/arch/arm/instructions.ts';

/** The address in the first movw and movt of the hook. */
export function traceOpOf(word: (address: bigint) => number | undefined, entry: bigint): bigint {
  const constants: number[] = [];
  for (let address = entry; constants.length < 2; address += 4n) {
    const { encoding, fields } = decode(word(address) ?? 0) ?? {};
    if (encoding?.name === 'MOV (immediate), wide' || encoding?.name === 'MOVT')
      constants.push(fields!.imm4! * 4096 + fields!.imm12!);
  }
  return BigInt(((constants[1]! << 16) | constants[0]!) >>> 0);
}
