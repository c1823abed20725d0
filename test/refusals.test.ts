// What must not be loaded is not loaded, says why, and leaves the machine as it was: modules for another kernel or another
// function, damaged on the way, damaged where only the core can see it. Each case is a real insmod in a real guest.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findSection, findSymbol, readElf, writeElf } from '../src/elf/elf.ts';
import type { ElfModel } from '../src/elf/model.ts';
import { type LoadedKernel, loadKernel } from '../src/host/read-kernel.ts';
import { checkSignature, signModule } from '../src/kernel/module-signature.ts';
import { patchSection, tableLayout } from '../src/kernel/patch-module.ts';
import { bootGuest, type Guest } from '../src/lab/guest.ts';
import { guestKernel } from '../src/lab/guest-kernel.ts';
import { examples } from './examples.ts';
import { stockKernels } from './stock-kernels.ts';
import { coreOf, patchOf } from './support/patches.ts';

const [cmdline] = examples;
const sysfs = '/sys/kernel/livepatch';

/** Loads every module of the folder /x in turn, each with a log of its own, and takes away what was loaded. */
const loadAll = `
cd /x
for f in *.ko; do
  dmesg -c > /dev/null
  said=$(insmod $f 2>&1)
  status=$?
  echo "$f|$status|$said|$(dmesg | tr '\\n' ' ')"
  if [ $status = 0 ]; then
    echo 0 > ${sysfs}/good/enabled
    until rmmod good 2> /dev/null; do usleep 100000; done
  fi
done`;

/** Whatever can stand in a table's places, and is right in none of them. */
const oddValues = [0, 1, 3, 0x7ffffffc, 0xffffffff];

describe.each(stockKernels)('a guest of $name', ({ name, architecture }) => {
  const layout = tableLayout(architecture === 'arm' ? 4 : 8);
  const head = layout.suture_patch_table.offset;
  // The patch has one object, and the object one redirect.
  const objectAt = Math.ceil(layout.suture_patch_table.size / 8) * 8;
  const object = (member: keyof typeof layout.suture_object.offset) => objectAt + layout.suture_object.offset[member];
  const redirectsAt = objectAt + layout.suture_object.size;
  const redirect = (member: keyof typeof layout.suture_redirect.offset) =>
    redirectsAt + layout.suture_redirect.offset[member];

  const table = (model: ElfModel) => findSection(model, patchSection)!;
  const view = (model: ElfModel) => {
    const { data } = table(model);
    return new DataView(data.buffer, data.byteOffset, data.byteLength);
  };
  const pointer = (model: ElfModel, offset: number) => table(model).relocations.find((r) => r.offset === offset)!;
  /** Where the pointer at an offset of the table leads, as the relocation has it. */
  const pointee = (model: ElfModel, offset: number) =>
    Number(pointer(model, offset).addend ?? view(model).getUint32(offset, true));

  /** Modules that are whole but wrong, and what the kernel or the core must say of them. */
  const wrong = [
    {
      what: 'was made for another build of the kernel',
      says: /build id/,
      change: (model: ElfModel) => {
        table(model).data[pointee(model, head.build_id)]! ^= 0xff;
      },
    },
    {
      what: 'expects other instructions in the old function',
      says: /'cmdline_proc_show': not the function that the patch was made for: 0x[0-9a-f]+ instead of 0x[0-9a-f]+/,
      change: (model: ElfModel) => {
        table(model).data[pointee(model, redirect('old_words'))]! ^= 0x01;
      },
    },
    {
      what: 'knows the old function only in part',
      says: /'cmdline_proc_show': made for \d+ bytes, in this kernel it has \d+/,
      change: (model: ElfModel) =>
        view(model).setUint32(redirect('old_size'), view(model).getUint32(redirect('old_size'), true) - 4, true),
    },
    {
      what: 'needs a symbol that the kernel does not have',
      says: /Unknown symbol seq_putz/,
      change: (model: ElfModel) => {
        findSymbol(model, 'seq_puts')!.name = 'seq_putz';
      },
    },
    {
      what: 'has a table of another version',
      says: /version/,
      change: (model: ElfModel) => view(model).setUint32(head.version, 99, true),
    },
    {
      what: 'has a table without its magic number',
      says: /suture: good: /,
      change: (model: ElfModel) => view(model).setUint32(head.magic, 0, true),
    },
    {
      what: 'redirects another place than the call site',
      says: /ftrace knows no call site/,
      change: (model: ElfModel) =>
        view(model).setUint32(redirect('site'), view(model).getUint32(redirect('site'), true) + 4, true),
    },
    {
      what: 'says that the function is elsewhere',
      says: /no function at/,
      change: (model: ElfModel) =>
        view(model).setUint32(redirect('old_address'), view(model).getUint32(redirect('old_address'), true) + 4, true),
    },
  ];

  let guest: Guest;
  let kernel: LoadedKernel;
  let size: number;
  let moduleSize: number;
  /** Where the i-th of 100 damaged modules is: spread over headers, code, tables, relocations, symbols and signature. */
  const damagedAt = (i: number) => Math.floor(((size - 40) * i) / 100);
  /** What became of each module: insmod's status, and what it and the kernel said. */
  const outcomes = new Map<string, { status: number; said: string }>();

  beforeAll(async () => {
    kernel = await loadKernel(name);
    const good = await patchOf(kernel, cmdline!.fix, 'good');
    const { module } = await checkSignature(good);
    const files = [
      { path: '/suture.ko', bytes: await coreOf(kernel) },
      { path: '/good.ko', bytes: good },
      { path: '/second.ko', bytes: await patchOf(kernel, cmdline!.fix, 'second') },
    ];
    const add = (file: string, bytes: Uint8Array) => files.push({ path: `/x/${file}.ko`, bytes });
    /** The good module with its model changed, signed again. */
    const changed = async (change: (model: ElfModel) => void) => {
      const model = readElf(module.slice(), 'good.ko');
      change(model);
      return signModule(writeElf(model));
    };

    for (const [i, { change }] of wrong.entries()) add(`wrong-${i}`, await changed(change));

    const model = readElf(module, 'good.ko');
    const numbers = [
      ...[head.object_count, head.build_id_size, head.build_id_address],
      ...(['build_id_size', 'redirect_count', 'recipe_count', 'reserved'] as const).map(object),
      ...(['old_address', 'old_sympos', 'old_size', 'site', 'stub_size', 'way'] as const).map(redirect),
    ];
    for (const offset of numbers) {
      for (const value of oddValues.filter((odd) => odd !== view(model).getUint32(offset, true))) {
        add(`number-${offset}-${value}`, await changed((m) => view(m).setUint32(offset, value, true)));
      }
    }
    for (const { offset } of table(model).relocations) {
      for (const far of [0x100000, -0x100000]) {
        const module = await changed((m) => {
          const relocation = pointer(m, offset);
          if (relocation.addend !== undefined) relocation.addend += BigInt(far);
          else view(m).setInt32(offset, view(m).getInt32(offset, true) + far, true);
        });
        add(`pointer-${offset}-${far > 0 ? 'up' : 'down'}`, module);
      }
    }
    size = good.length;
    moduleSize = module.length;
    for (let i = 0; i < 100; i++) {
      const damaged = good.slice();
      damaged[damagedAt(i)]! ^= 1 << (i % 8);
      add(`damaged-${i}`, damaged);
    }
    for (let i = 0; i < 32; i++) add(`cut-${i}`, good.slice(0, Math.floor((module.length * i) / 32)));

    guest = await bootGuest(guestKernel(kernel.stored), { files, bootTimeout: 300 });
    await guest.succeed('insmod /suture.ko');
    for (const line of (await guest.succeed(loadAll, { timeout: 400 })).split('\n')) {
      const [file, status, ...said] = line.split('|');
      if (status) outcomes.set(file!.replace('.ko', ''), { status: Number(status), said: said.join('\n') });
    }
    expect(outcomes.size).toBe(files.length - 3);
  });
  afterAll(() => guest?.stop());

  const loadedOf = (kind: string) =>
    [...outcomes].filter(([file, { status }]) => file.startsWith(kind) && status === 0).map(([file]) => file);
  const expectUnharmed = async () => {
    const state = await guest.succeed(`cat /proc/cmdline; ls ${sysfs}; cut -d' ' -f1 /proc/modules`);
    expect(state).toMatch(/^console=.*\nsuture\n$/);
  };

  it.each(wrong.map((each, i) => ({ ...each, file: `wrong-${i}` })))(
    'refuses a module that $what',
    ({ file, says }) => {
      expect(outcomes.get(file)!.status).not.toBe(0);
      expect(outcomes.get(file)!.said).toMatch(says);
    },
  );

  it('refuses a module with any number of its table wrong, and says so in the log', () => {
    expect(loadedOf('number')).toEqual([]);
    const silent = [...outcomes].filter(
      ([file, { said }]) => file.startsWith('number') && !/suture: good: /.test(said),
    );
    expect(silent).toEqual([]);
  });

  it('refuses a module with any pointer of its table leading elsewhere', () => {
    expect(loadedOf('pointer')).toEqual([]);
  });

  it('refuses a module of which any byte has changed, but for bytes of the signature alone', () => {
    // A signature that no longer names its own certificate cannot be checked; the module before it is whole then.
    const inSignature = (file: string) => damagedAt(Number(file.split('-')[1])) >= moduleSize;
    expect(loadedOf('damaged').filter((file) => !inSignature(file))).toEqual([]);
  });

  it('refuses a module that was cut off', () => {
    expect(loadedOf('cut')).toEqual([]);
  });

  it('says why, whatever is refused', () => {
    // The core in the log, the loader in the log, or the loader's error as insmod words it.
    const reason =
      /suture: good: \w+|Unknown symbol|Key was rejected by service|[Ii]nvalid module format|Bad message|No such file|short read|Invalid argument/;
    const mute = [...outcomes].filter(([, { status, said }]) => status !== 0 && !reason.test(said));
    expect(mute).toEqual([]);
  });

  it('is unharmed by all that', expectUnharmed);

  it('has printed no alarm, and gives everything back', async () => {
    expect(guest.consoleText).not.toMatch(/\b(Oops|BUG:|WARNING:|Unable to handle|Call Trace|Backtrace)/);
    await guest.succeed('rmmod suture');
    expect(await guest.succeed('ls /sys/kernel')).not.toMatch(/livepatch/);
    await guest.run('mount -t tracefs none /sys/kernel/tracing');
    expect(await guest.succeed('cat /sys/kernel/tracing/enabled_functions')).toBe('');
  });
});
