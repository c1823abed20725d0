// Mainline's livepatch selftests in guests: its scripts, unmodified, with the test modules where modprobe finds them.

import { reasonError } from '../reason.ts';
import { bootGuest, type Guest, GuestError, type GuestOptions } from './guest.ts';
import type { GuestKernel } from './guest-kernel.ts';
import type { GuestFile } from './initramfs.ts';
import {
  differsInPointerSizeOnly,
  outputOfDeadGuest,
  readSelftestOutput,
  type SelftestCase,
  titlesOf,
  withAlarms,
} from './selftest-output.ts';
import { openUserland, runInUserland, userlandFiles, userlandRoot } from './userland.ts';

export interface SelftestPlan {
  /** The folder of the userland (src/host/userland.ts). */
  readonly userland: string;
  /** The scripts with functions.sh and all else that lies beside them, by file name. */
  readonly scripts: ReadonlyMap<string, Uint8Array>;
  /** What modprobe is to find, by name: the core (`suture`) among them. */
  readonly modules: ReadonlyMap<string, Uint8Array>;
  /** Loaded before the first script. */
  readonly preload: readonly string[];
  /** 4 on 32-bit kernels. */
  readonly pointerSize: 4 | 8;
  readonly guest?: Omit<GuestOptions, 'files'>;
  /** Seconds that one script may take. Its own loops give up after a minute each. */
  readonly timeout?: number;
}

/** The scripts in the order of mainline's Makefile (tools/testing/selftests/livepatch). */
const order = ['livepatch', 'callbacks', 'shadow-vars', 'state', 'ftrace', 'sysfs'].map((name) => `test-${name}.sh`);

/** Runs all scripts and gives the state of every case, also one by one as they are known. Throws what `bootGuest` throws. */
export async function runSelftests(
  kernel: GuestKernel,
  plan: SelftestPlan,
  onCase: (result: SelftestCase) => void = () => {},
): Promise<SelftestCase[]> {
  const names = [...plan.scripts.keys()].filter((name) => /^test-.*\.sh$/.test(name));
  const rank = (name: string) => (order.includes(name) ? order.indexOf(name) : order.length);
  names.sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));

  const results: SelftestCase[] = [];
  let guest: Guest | undefined;
  try {
    for (const name of names) {
      guest ??= await bootSelftestGuest(kernel, plan);
      const cases = await runScript(guest, plan, name);
      cases.forEach(onCase);
      results.push(...cases);
      // A script that failed has left its modules behind, and the next one would fail for that.
      if (cases.some(({ outcome, remark }) => outcome !== 'passed' || remark !== undefined)) {
        await guest.stop();
        guest = undefined;
      }
    }
  } finally {
    await guest?.stop();
  }
  return results;
}

const scriptFolder = '/selftests';
const moduleFolder = '/modules';

/** A guest with the userland opened, the scripts in /selftests, and the modules where modprobe finds them. */
export async function bootSelftestGuest(kernel: GuestKernel, plan: SelftestPlan): Promise<Guest> {
  const inUserland = (path: string, bytes: Uint8Array = new Uint8Array(), permissions = 0o644): GuestFile => ({
    path: userlandRoot + path,
    bytes,
    permissions,
  });
  const files = [
    ...(await userlandFiles(plan.userland)),
    ...[...plan.scripts].map(([name, bytes]) => inUserland(`${scriptFolder}/${name}`, bytes, 0o755)),
    ...[...plan.modules].map(([name, bytes]) => inUserland(`${moduleFolder}/extra/${name}.ko`, bytes)),
    // depmod and modprobe warn if a kernel's folder lacks them.
    ...['order', 'builtin', 'builtin.modinfo'].map((name) => inUserland(`${moduleFolder}/modules.${name}`)),
  ];
  const guest = await bootGuest(kernel, { ...plan.guest, files });
  try {
    await openUserland(guest);
    const preparation = [
      'mkdir -p /lib/modules',
      `ln -s ${moduleFolder} /lib/modules/$(uname -r)`,
      'depmod',
      ...plan.preload.map((name) => `modprobe ${name}`),
    ].join(' && ');
    const { status, output } = await runInUserland(guest, preparation);
    if (status !== 0) throw reasonError('guest-failed', preparation, output.trim());
    return guest;
  } catch (error) {
    await guest.stop();
    throw error;
  }
}

async function runScript(guest: Guest, plan: SelftestPlan, name: string): Promise<SelftestCase[]> {
  const titles = titlesOf(new TextDecoder().decode(plan.scripts.get(name)));
  const seen = guest.consoleText.length;
  try {
    // Only what syslog(2) gives is cleared; the scripts' own dmesg reads /dev/kmsg.
    await guest.succeed('dmesg -c >/dev/null');
    const command = `cd ${scriptFolder} && ./${name}`;
    const { status, output } = await runInUserland(guest, command, { timeout: plan.timeout ?? 600 });
    const cases = readSelftestOutput(name, titles, output, status).map((each) => excuse(each, plan.pointerSize));
    return withAlarms(cases, await guest.succeed('dmesg'));
  } catch (error) {
    if (!(error instanceof GuestError)) throw error;
    const lastWords = `${error.fate}: ${error.reasons[0].message}\n${error.log}`;
    return readSelftestOutput(name, titles, outputOfDeadGuest(guest.consoleText.slice(seen), lastWords), null);
  }
}

function excuse(result: SelftestCase, pointerSize: 4 | 8): SelftestCase {
  if (result.outcome !== 'failed' || pointerSize !== 4 || !differsInPointerSizeOnly(result.detail)) return result;
  const remark = 'the script expects pointers of 8 bytes, and nothing else differs';
  return { ...result, outcome: 'passed', remark };
}
