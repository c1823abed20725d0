// Before a build is trusted it is compared with the kernel as shipped, and what the comparison tells is where patches will
// find data that no symbol table of these kernels has. Here with real files of the kernel's source, for both kernels.

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { architectureByName } from '../src/arch/architectures.ts';
import { originalObjects } from '../src/compile/original-objects.ts';
import { findSymbol, isSection, readElf } from '../src/elf/elf.ts';
import type { ElfModel } from '../src/elf/model.ts';
import { fetchKernel } from '../src/host/fetch-kernel.ts';
import type { StoredKernel } from '../src/host/kernel-store.ts';
import { moduleFiles, readImage } from '../src/host/read-kernel.ts';
import { type KernelImage, readKernelImage } from '../src/kernel/image.ts';
import { checkFidelity, countFunctions } from '../src/match/fidelity.ts';
import { matchObject, type ObjectMatch } from '../src/match/match.ts';
import { matchModule } from '../src/match/match-module.ts';
import { ReasonError } from '../src/reason.ts';
import { stockKernels } from './stock-kernels.ts';

/** Small to compile, and between them: strings, switch tables, weak functions, percpu data, static data, init code. */
const files = ['fs/proc/cmdline.c', 'fs/seq_file.c', 'mm/util.c', 'kernel/sys.c'];

describe.each(stockKernels)('$name', ({ package: wanted, architecture }) => {
  const arch = architectureByName(architecture)!;
  let kernel: StoredKernel;
  let image: KernelImage;
  let objects: { path: string; model: ElfModel; match: ObjectMatch }[];

  const compile = async (from: StoredKernel, paths: readonly string[]) =>
    (await originalObjects(from, arch.platform, kernel.source!, paths, () => {})).map(({ path, plain }) => {
      const model = readElf(plain, path);
      return { path, model, match: matchObject(model, image, arch) };
    });

  beforeAll(async () => {
    kernel = await fetchKernel(wanted, { source: true });
    image = await readKernelImage(await readImage(kernel), kernel.name, arch);
    objects = await compile(kernel, files);
  });

  it('has every function just as it is compiled here, or does not use it', () => {
    for (const { path, match } of objects) {
      const counts = countFunctions(match);
      console.log(
        `${kernel.name} ${path}: ${counts.same} of ${counts.functions} the same, ${counts.overridden} overridden`,
      );
      expect(match.regions.filter(({ verdict }) => verdict !== 'same' && verdict !== 'overridden')).toEqual([]);
      expect(match.data).toEqual([]);
      expect(counts.overridden).toBeLessThan(3);
      checkFidelity(match, path, image.banner);
    }
    expect(objects.map(({ path }) => path)).toEqual(files);
  });

  it('shows addresses of symbols, which its own symbol table confirms where it has one', () => {
    const known = new Map<string, bigint[]>();
    for (const { name, value } of image.symbolTable) known.set(name, [...(known.get(name) ?? []), value]);
    let confirmed = 0;
    const contradicted: string[] = [];
    for (const { model, match } of objects) {
      for (const symbol of model.symbols) {
        const address = match.addressOf(symbol);
        const truth = known.get(symbol.name);
        if (symbol.name === '' || address === undefined || truth === undefined) continue;
        if (truth.includes(address)) confirmed++;
        else contradicted.push(`${symbol.name} ${address.toString(16)}`);
      }
    }
    console.log(`${kernel.name}: ${confirmed} addresses confirmed by the image’s symbol table`);
    expect(contradicted).toEqual([]);
    expect(confirmed > 500).toBe(image.symbolTable.length > 0);
  });

  it('shows data that kallsyms lacks: saved_command_line, from the function that prints it', () => {
    const { model, match } = objects[0]!;
    const address = match.addressOf(findSymbol(model, 'saved_command_line')!);
    expect(image.kallsyms.some(({ name }) => name === 'saved_command_line')).toBe(false);
    // Debian's kernels have no export of it either; all that is known of it is that it is data behind the text.
    expect(address).toBeGreaterThan(image.textRanges[0]!.end);
  });

  it('is not what a changed instruction is in, and the place is named', () => {
    const { path, model } = objects[1]!;
    const seqOpen = findSymbol(model, 'seq_open')!;
    if (!isSection(seqOpen.place)) throw new Error('seq_open is not defined');
    const changed = structuredClone(seqOpen.place.data);
    const original = seqOpen.place.data;
    changed[Number(seqOpen.value) + 16]! ^= 1;
    seqOpen.place.data = changed;
    try {
      const match = matchObject(model, image, arch);
      expect(match.regions.filter(({ verdict }) => verdict !== 'same')).toMatchObject([
        { name: 'seq_open', verdict: 'different', difference: { offset: 16 } },
      ]);
      expect(() => checkFidelity(match, path, image.banner)).toThrow(/fs\/seq_file.c: seq_open\+0x10 \(image 0x/);
    } finally {
      seqOpen.place.data = original;
    }
  });

  it('has modules that are what is compiled here, and a changed one is told', async () => {
    const [object] = await originalObjects(kernel, arch.platform, kernel.source!, ['drivers/net/dummy.c'], () => {});
    expect(object?.module).toBe('dummy');
    const file = (await moduleFiles(kernel)).find((each) => each.endsWith('/dummy.ko'))!;
    const [compiled, shipped] = [
      readElf(object!.plain, object!.path),
      readElf(new Uint8Array(readFileSync(join(kernel.modules, file))), file),
    ];
    const match = matchModule(compiled, shipped, arch);
    console.log(`${kernel.name} ${object!.path}: ${countFunctions(match).same} functions the same as in ${file}`);
    expect(match.regions.filter(({ verdict }) => verdict !== 'same')).toEqual([]);
    expect(match.data).toEqual([]);
    // Where the module has its operations, which are data of its own: as its symbol table has it.
    const operations = findSymbol(shipped, 'dummy_netdev_ops')!;
    expect(match.placeOf(findSymbol(compiled, 'dummy_netdev_ops')!)).toEqual({
      section: operations.place,
      offset: Number(operations.value),
    });

    const setup = findSymbol(shipped, 'dummy_setup')!;
    if (!isSection(setup.place)) throw new Error('dummy_setup is not defined');
    setup.place.data = structuredClone(setup.place.data);
    setup.place.data[Number(setup.value) + Number(setup.size) - 4]! ^= 0x20;
    const other = matchModule(compiled, shipped, arch).regions.filter(({ verdict }) => verdict !== 'same');
    expect(other).toMatchObject([
      { name: 'dummy_setup', verdict: 'different', difference: { offset: Number(setup.size) - 4 } },
    ]);
  });

  describe('configured otherwise', () => {
    let folder: string;
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), 'suture-match-'));
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    it('is not the same build, and the refusal shows where', async () => {
      // The headers of a kernel whose stack protector is off.
      const headers = join(folder, 'headers');
      mkdirSync(join(headers, 'include'), { recursive: true });
      for (const part of ['arch', 'scripts']) symlinkSync(join(kernel.headers, part), join(headers, part));
      for (const part of ['include/generated', 'include/config/auto.conf', 'include/config/kernel.release']) {
        cpSync(join(kernel.headers, part), join(headers, part), { recursive: true });
      }
      const without = (file: string) =>
        writeFileSync(
          join(headers, file),
          readFileSync(join(headers, file), 'utf8').replace(/^.*CONFIG_STACKPROTECTOR(_STRONG)?[= ].*$/gm, ''),
        );
      without('include/config/auto.conf');
      without('include/generated/autoconf.h');
      const [object] = await compile({ ...kernel, headers, folder }, ['fs/seq_file.c']);
      const refusal = (() => {
        try {
          checkFidelity(object!.match, object!.path, image.banner);
        } catch (error) {
          return error instanceof ReasonError ? error.reasons[0] : error;
        }
        return undefined;
      })();
      expect(refusal).toMatchObject({
        code: 'build-differs',
        place: expect.stringMatching(/^fs\/seq_file\.c: \w+/),
        message: expect.stringMatching(/compiled [0-9a-f]{8}/),
        remedy: expect.stringMatching(/gcc/),
      });
    });
  });
});
