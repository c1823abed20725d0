// Modules that the kernel asks for while another one is loaded: no modinfo tells of them. rxrpc wants the cipher pcbc(fcrypt) when
// it starts, and the kernel calls modprobe for `crypto-pcbc` and then for `crypto-fcrypt` (request_module(), crypto/api.c).
//
// The guest has no modprobe, but a script in its place that notes what is asked for and fails. What can be had of that is then
// loaded, and the module that could not do without it is tried again.

import { type Guest, quote, type RunOptions, type RunResult } from './guest.ts';
import type { GuestFile } from './initramfs.ts';
import type { StockModule } from './target-modules.ts';

/** The modules that answer to a name that the kernel asks for, each behind those that it depends on; none if there are none. */
export type FindModules = (name: string) => Promise<readonly StockModule[]>;

const asked = '/run/suture/asked';
const folder = '/run/suture/modules';

/** The guest's modprobe. The kernel calls it `modprobe -q -- NAME` (kernel/kmod.c) by the path of CONFIG_MODPROBE_PATH. */
export const askingModprobe: GuestFile = {
  path: '/sbin/modprobe',
  bytes: new TextEncoder().encode(`#!/bin/busybox sh\nfor name; do :; done\necho "$name" >>${asked}\nexit 1\n`),
  permissions: 0o755,
};

/** A line of shell that loads a module unless it is loaded. */
export const insmodOnce = (name: string, path: string): string => `{ [ -e /sys/module/${name} ] || insmod ${path}; }`;

/**
 * Runs a command that loads modules, and as long as it fails runs it again with what the kernel has asked for meanwhile.
 * The command must be one that can be repeated. Throws `GuestError`.
 */
export async function runWithAsked(
  guest: Guest,
  command: string,
  find: FindModules,
  options: RunOptions,
): Promise<RunResult> {
  const known = new Set<string>();
  await guest.succeed(`mkdir -p ${folder}; : >${asked}`);
  // Each time round at least one more of the kernel's modules has been tried, so this ends.
  for (;;) {
    const result = await guest.run(command, options);
    if (result.status === 0) return result;
    const names = (await guest.succeed(`cat ${asked}`)).split('\n').filter((name) => name !== '');
    const before = known.size;
    for (const name of new Set(names)) {
      for (const module of await find(name)) {
        if (known.has(module.name)) continue;
        known.add(module.name);
        const path = `${folder}/${module.name}.ko`;
        await guest.copyIn(path, module.bytes);
        // One that fails is not what was needed, or the command says so.
        await guest.run(`${insmodOnce(module.name, quote(path))}; rm -f ${quote(path)}`, options);
      }
    }
    if (known.size === before) return result;
  }
}
