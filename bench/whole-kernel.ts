// What `audit` and `prove --all` take for a whole kernel, each a process of its own, beside `objdump -d` of the same text in the
// same run: time on a shared machine says little, a ratio says more.
//
// The text goes to objdump as a relocatable file of a few sections, without symbols; and where the image is an ELF file, beside that
// the image as it is shipped, as a person would do it: with symbols it takes longer.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ET_REL, SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS } from '../src/elf/constants.ts';
import { newModel, newSection, writeElf } from '../src/elf/elf.ts';
import { identification } from '../src/elf/layout.ts';
import { type LoadedKernel, loadKernel, readImage } from '../src/host/read-kernel.ts';
import { withTemporaryFolder } from '../src/host/temporary.ts';
import { type Bench, best, type Figures, type Row, ratio } from './bench.ts';
import { cpu, measureProgram, measureSuture, wall } from './measure.ts';

/** `prove` refuses what it does not prove, and a kernel always has some of that. */
const accept = [0, 2];
/** `objdump -d` of the same text is one of these. */
const ofObjdump = 'wall / objdump';
const cpuOfObjdump = 'CPU / objdump';

interface Judged {
  readonly result: { readonly functions: number; readonly differentRedirects?: number };
}

export const wholeKernelBench: Bench = {
  name: 'functions',
  title: 'every function of a kernel (issue 6: proving faster than objdump -d of the same text)',
  limits: { [ofObjdump]: 1 },
  run: async ({ kernels, runs, say }) => {
    const rows: Row[] = [];
    for (const kernel of kernels) {
      const loaded = await loadKernel(kernel);
      const several = async (what: string, once: () => Promise<Figures>): Promise<Figures> => {
        say(`${what} of ${kernel}`);
        const found: Figures[] = [];
        for (let i = 0; i < runs; i++) found.push(await once());
        return best(found, wall);
      };
      const objdump = await several('objdump -d', () => disassemble(loaded));
      rows.push({ what: `objdump -d ${kernel}`, figures: objdump });
      if (isElf(await readImage(loaded.stored))) {
        const figures = await several('objdump -d of the image', () => disassembleFile(loaded, loaded.stored.image));
        rows.push({ what: `objdump -d ${kernel}, as shipped`, figures });
      }
      for (const command of [
        ['prove', '--kernel', kernel, '--all'],
        ['audit', kernel],
      ]) {
        const figures = await several(command[0]!, async () => {
          const { figures, stdout } = await measureSuture([...command, '--json'], accept);
          const { functions, differentRedirects } = (JSON.parse(stdout) as Judged).result;
          return {
            ...figures,
            functions,
            'different redirects': differentRedirects,
            'functions/s': functions / ((figures[wall] ?? 0) / 1000),
          };
        });
        const beside = {
          [ofObjdump]: ratio(figures[wall], objdump[wall]),
          [cpuOfObjdump]: ratio(figures[cpu], objdump[cpu]),
        };
        rows.push({ what: command.join(' '), figures: { ...figures, ...beside } });
      }
    }
    return rows;
  },
};

async function disassemble({ arch, abi, image }: LoadedKernel): Promise<Figures> {
  const { class: bits, machine } = arch.elf;
  const model = newModel({
    ...{ class: bits, machine, type: ET_REL, osAbi: 0, abiVersion: 0, entry: 0n, flags: abi.headerFlags },
  });
  model.sections.push(
    ...image.textRanges.map(({ start, end }, i) => {
      const bytes = image.bytes(start, Number(end - start)) ?? new Uint8Array();
      return newSection(`.text.${i}`, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, bytes, { align: 4 });
    }),
  );
  return withTemporaryFolder(async (folder) => {
    const file = join(folder, 'text.o');
    await writeFile(file, writeElf(model));
    return disassembleFile({ arch }, file);
  });
}

const disassembleFile = ({ arch }: Pick<LoadedKernel, 'arch'>, file: string): Promise<Figures> =>
  measureProgram(`${arch.platform.cross.prefix}objdump`, ['-d', file]);

const isElf = (bytes: Uint8Array): boolean => identification.magic.every((byte, i) => bytes[i] === byte);
