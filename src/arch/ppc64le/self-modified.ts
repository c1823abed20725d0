import type { KernelText, SelfModified } from '../arch.ts';
export function selfModified(_text: KernelText): SelfModified {
  return { words: [], unknown: ['nothing has been looked at'] };
}
