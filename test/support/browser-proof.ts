// Runs in a browser: reads the image and the module that its page was served with, proves, and sends back what it found.

import { architectures } from '../../src/arch/architectures.ts';
import { readKernelImage } from '../../src/kernel/image.ts';
import { Prover } from '../../src/prove/prove-module.ts';
import { plainProof } from './plain-proof.ts';

const bytesOf = async (name: string): Promise<Uint8Array> => new Uint8Array(await (await fetch(name)).arrayBuffer());

async function prove(): Promise<unknown> {
  const architecture = new TextDecoder().decode(await bytesOf('architecture'));
  const arch = architectures.find(({ platform }) => platform.name === architecture)!;
  const image = await readKernelImage(await bytesOf('image'), 'image', arch);
  const kernel = { arch, image, callSites: arch.findCallSites(image), selfModified: arch.selfModified(image) };
  return new Prover(kernel).proveModule(await bytesOf('module'), 'module').map(plainProof);
}

const answer = await prove().catch((error: Error) => ({ error: error.stack }));
await fetch('answer', { method: 'POST', body: JSON.stringify(answer) });
