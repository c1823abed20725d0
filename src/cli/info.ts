// suture info: what is in a patch module, read without a kernel.

import type { Addition } from './command.ts';
import { describeLivepatchModule } from './describe-livepatch.ts';
import { describePatch } from './describe-patch.ts';
import { readAnyPatch } from './read-patch.ts';

export const infoCommand: Addition = (program, act) => {
  program
    .command('info')
    .description('say what is in a patch module: which functions of which kernel it replaces, and how')
    .argument('<module>', 'a .ko that `suture build` made')
    .action(
      act(async (_context, file: string) => {
        const read = await readAnyPatch(file);
        const { signed } = read;
        if ('patch' in read) {
          const { name, ...rest } = describePatch(read.patch);
          const result = { name, signed, ...rest };
          return { result, text: describe(result) };
        }
        const { name, ...rest } = describeLivepatchModule(read.model, file);
        const result = { name, signed, ...rest };
        return { result, text: describeLivepatch(result) };
      }),
    );
};

/** What both kinds begin with. */
const headline = ({ name, kernel, redirects }: { name: string; kernel: string; redirects: readonly unknown[] }) =>
  `${name}: replaces ${redirects.length} function${redirects.length === 1 ? '' : 's'} of ${kernel}`;

const signature = (signed: boolean) => (signed ? 'signed: unchanged since it was built' : 'not signed by Suture');

function describeLivepatch(patch: ReturnType<typeof describeLivepatchModule> & { readonly signed: boolean }): string {
  const of = (module: string | null) => (module === null ? '' : ` of ${module}`);
  return [
    headline(patch),
    'for the kernel’s own livepatch: it is loaded as it is, needs no suture.ko, and has no redirect of ours to prove',
    `vermagic ${patch.vermagic.trim()}`,
    `depends on ${patch.depends.join(', ') || 'no module'}`,
    signature(patch.signed),
    ...patch.redirects.map(
      ({ oldName, oldSympos, module, newName }) =>
        `${oldName}${oldSympos > 1 ? ` (number ${oldSympos} of this name)` : ''}${of(module)} by ${newName}`,
    ),
    ...patch.modules.map(({ name }) => `patches the module ${name}, once that is loaded`),
    ...patch.recipes.map(({ symbol, module }) => `uses ${symbol}${of(module)}, once that is loaded`),
    ...patch.unexported.map(({ name }) => `uses ${name}, which is not exported`),
  ].join('\n');
}

function describe(patch: ReturnType<typeof describePatch> & { readonly signed: boolean }): string {
  const { redirects } = patch;
  return [
    headline(patch),
    `vermagic ${patch.vermagic.trim()}`,
    `build id ${Buffer.from(patch.buildId).toString('hex')}`,
    signature(patch.signed),
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
