// Before the first test that needs a machine: the stock kernels, and the program as users run it.

import { run } from '../src/host/run.ts';
import { fetchStockKernels } from './stock-kernels.ts';

export async function setup(): Promise<void> {
  await run('npm', ['run', '--silent', 'build']);
  const kernels = await fetchStockKernels();
  console.log(`stock kernels: ${kernels.map((kernel) => `${kernel.name} (${kernel.version})`).join(', ')}`);
}
