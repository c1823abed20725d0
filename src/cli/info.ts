// suture info: what is in a patch module, read without a kernel.

import { linkAddress } from '../elf/units.ts';
import type { Addition } from './command.ts';
import { readPatch } from './read-patch.ts';

export const infoCommand: Addition = (program, act) => {
  program
    .command('info')
    .description('say what is in a patch module: which functions of which kernel it replaces, and how')
    .argument('<module>', 'a .ko that `suture build` made')
    .action(
      act(async (_context, file: string) => {
        const { patch, signed } = await readPatch(file);
        const buildId = Array.from(patch.buildId, (byte) => byte.toString(16).padStart(2, '0')).join('');
        const redirects = patch.redirects.map((r) => ({
          oldName: r.oldName,
          oldAddress: r.oldAddress,
          oldSize: 4 * r.oldWords.length,
          callSite: r.ip,
          way: 'ftrace',
          newName: r.newFunction.name,
          maskedWords: r.masked.length,
          stub: Array.from(r.stub.words, (word, i) => ({
            word,
            // An instruction that a relocation completes is shown as it stands in the file.
            text: patch.arch.disassemble(word, linkAddress(BigInt(r.stub.offset + 4 * i))) ?? '.long',
          })),
        }));
        const lines = [
          `${patch.name}: ${redirects.length} function${redirects.length === 1 ? '' : 's'} of ${patch.vermagic}`,
          `build id ${buildId}`,
          ...redirects.flatMap((r) => [
            `${r.oldName} at 0x${r.oldAddress.toString(16)} (${r.oldSize} bytes, ${r.maskedWords} of its words not compared) by ${r.newName}, ${r.way}:`,
            ...r.stub.map(({ word, text }) => `  ${word.toString(16).padStart(8, '0')}  ${text}`),
          ]),
        ];
        const { name, vermagic } = patch;
        return {
          result: {
            name,
            signed,
            architecture: patch.arch.platform.name,
            vermagic,
            buildId,
            redirects,
          },
          text: lines.join('\n'),
        };
      }),
    );
};
