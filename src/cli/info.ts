// suture info: what is in a patch module, read without a kernel.

import type { Addition } from './command.ts';
import { describePatch } from './describe-patch.ts';
import { readPatch } from './read-patch.ts';

export const infoCommand: Addition = (program, act) => {
  program
    .command('info')
    .description('say what is in a patch module: which functions of which kernel it replaces, and how')
    .argument('<module>', 'a .ko that `suture build` made')
    .action(
      act(async (_context, file: string) => {
        const { patch, signed } = await readPatch(file);
        const { name, ...rest } = describePatch(patch);
        const result = { name, signed, ...rest };
        return { result, text: describe(result) };
      }),
    );
};

function describe(patch: ReturnType<typeof describePatch> & { readonly signed: boolean }): string {
  const { redirects } = patch;
  return [
    `${patch.name}: replaces ${redirects.length} function${redirects.length === 1 ? '' : 's'} of ${patch.kernel}`,
    `vermagic ${patch.vermagic.trim()}`,
    `build id ${Buffer.from(patch.buildId).toString('hex')}`,
    patch.signed ? 'signed: unchanged since it was built' : 'not signed by Suture',
    ...redirects.flatMap((r) => [
      `${r.oldName} ${r.module === null ? `at ${hex(r.oldAddress)}` : `of ${r.module}`} (${r.oldSize} bytes, ${r.maskedWords} of its words not compared) by ${r.newName}, ${r.way} way${r.stub.length > 0 ? ', by this stub:' : ', with no stub in between'}`,
      ...r.stub.map(({ word, text }) => `  ${word.toString(16).padStart(8, '0')}  ${text}`),
    ]),
    ...patch.modules.map((m) => `patches the module ${m.name}, build id ${Buffer.from(m.buildId).toString('hex')}`),
    ...patch.recipes.map((r) => `${r.place} waits for ${r.symbol} of ${r.module}`),
    ...patch.unexported.map(({ name, address }) => `uses ${name} at ${hex(address)}, which is not exported`),
  ].join('\n');
}

const hex = (address: bigint): string => `0x${address.toString(16)}`;
