// A real userland for guests: the ordinary programs of a Debian system, for a kernel's architecture, in the cache.
//
// Scripts that were written for a whole system (mainline's selftests) need bash and the very output of kmod, procps and
// util-linux; busybox is none of these. Nothing is installed, so of each package only the programs asked for are taken,
// and of the libraries those that the programs ask for: what ld.so would load, found by the same rule.
//
//   userland/ARCHITECTURE-HASH/bin/PROGRAM   regular files, symbolic links resolved
//   …/PATH                                   the libraries, and the interpreter where the programs expect it

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, readlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Platform } from '../arch/arch.ts';
import { cString, findSection, readElf } from '../elf/elf.ts';
import { reasonError } from '../reason.ts';
import { openApt } from './apt.ts';
import { buildingFolder, cacheFolder, publish, withLock } from './cache.ts';
import { compareVersions } from './debian.ts';
import { withTemporaryFolder } from './temporary.ts';

/** Programs by the package that holds them. A name with `=` stands for a link that only an installed system has. */
const programs: Readonly<Record<string, readonly string[]>> = {
  bash: ['bash', 'sh=bash'],
  coreutils: [
    ...['basename', 'cat', 'chmod', 'comm', 'cp', 'cut', 'date', 'dirname', 'echo', 'env', 'head', 'id', 'ln', 'ls'],
    ...['mkdir', 'mktemp', 'mv', 'nproc', 'rm', 'seq', 'sleep', 'sort', 'stat', 'tail', 'tee', 'timeout', 'touch'],
    ...['tr', 'true', 'false', 'uname', 'uniq', 'wc'],
  ],
  diffutils: ['diff'],
  grep: ['grep'],
  kmod: ['depmod', 'insmod', 'lsmod', 'modinfo', 'modprobe', 'rmmod'],
  mawk: ['awk=mawk'],
  procps: ['sysctl'],
  sed: ['sed'],
  'util-linux': ['dmesg', 'taskset'],
};

/** Packages of the libraries that these programs need on Debian 12. That none is missing is found by looking. */
const libraries = [
  ...['libacl1', 'libattr1', 'libc6', 'liblzma5', 'libpcre2-8-0', 'libselinux1', 'libssl3', 'libtinfo6', 'libzstd1'],
] as const;

const packages = [...Object.keys(programs), ...libraries];

/**
 * The folder of a userland for a platform, fetched unless it is in the cache: every file in it, at its path below the
 * folder, belongs at the same path below a guest's root. Throws `fetch-failed`, `elf-malformed`, `tool-missing`.
 */
export async function fetchUserland(platform: Platform, progress: (text: string) => void = () => {}): Promise<string> {
  const { architecture } = platform.debian;
  const hash = createHash('sha256').update(JSON.stringify([programs, libraries]));
  const name = `${architecture}-${hash.digest('hex').slice(0, 12)}`;
  const entry = join(cacheFolder(), 'userland', name);
  if (!existsSync(entry)) {
    await withLock(`userland-${name}`, async () => {
      if (!existsSync(entry)) await publish(entry, (folder) => build(architecture, folder, progress));
    });
  }
  return entry;
}

async function build(architecture: string, into: string, progress: (text: string) => void): Promise<void> {
  const apt = openApt(architecture);
  progress(`looking up a userland for ${architecture}`);
  const trouble = await apt.update();
  const available = await apt.show(...packages);
  const wanted = packages.map((name) => {
    const versions = available.filter((each) => each.name === name);
    const newest = versions.sort((a, b) => compareVersions(b.version, a.version))[0];
    if (!newest) throw reasonError('fetch-failed', name, `not to be had for ${architecture}\n${trouble}`.trim());
    return newest;
  });
  await withTemporaryFolder(async (unpacked) => {
    const size = wanted.reduce((sum, each) => sum + each.size, 0);
    progress(`fetching ${wanted.length} packages for ${architecture} (${(size / 1e6).toFixed(1)} MB)`);
    await withTemporaryFolder((downloads) => apt.unpack(wanted, downloads, unpacked), buildingFolder());
    await takePrograms(await filesByName(unpacked), into);
  }, buildingFolder());
}

/** Folders in which a system looks for programs, and for libraries, as patterns of paths in a package. */
const programFolder = /^(usr\/)?s?bin$/;
const libraryFolder = /^(usr\/)?lib(64)?(\/[^/]+-linux-gnu[^/]*)?$/;

interface Unpacked {
  readonly programs: ReadonlyMap<string, string>;
  readonly libraries: ReadonlyMap<string, string>;
  /** Where a package's absolute link leads: not to this machine's own files. */
  readonly root: string;
}

async function filesByName(root: string): Promise<Unpacked> {
  const files = await readdir(root, { recursive: true });
  const among = (folder: RegExp) =>
    new Map(files.filter((file) => folder.test(dirname(file))).map((file) => [basename(file), file]));
  return { programs: among(programFolder), libraries: among(libraryFolder), root };
}

/** Copies the programs and every library that they and those libraries need. */
async function takePrograms(unpacked: Unpacked, into: string): Promise<void> {
  const taken = new Set<string>();
  const interpreters = new Set<string>();
  const take = async (found: string | undefined, name: string, target: string): Promise<void> => {
    if (taken.has(target)) return;
    taken.add(target);
    if (found === undefined) throw reasonError('fetch-failed', name, 'in none of the userland’s packages');
    const file = join(into, target);
    await mkdir(dirname(file), { recursive: true });
    await copyFile(await resolveLink(unpacked.root, found), file);
    const { interpreter, libraries } = dynamicNeeds(new Uint8Array(await readFile(file)), name);
    if (interpreter !== undefined) {
      interpreters.add(basename(interpreter));
      await take(unpacked.libraries.get(basename(interpreter)), interpreter, interpreter.slice(1));
    }
    for (const library of libraries) {
      // The interpreter, ld.so, is a library too, but never looked for: it is there already.
      if (interpreters.has(library)) continue;
      await take(unpacked.libraries.get(library), library, join('lib', library));
    }
  };
  for (const each of Object.values(programs).flat()) {
    const [name, program = name] = each.split('=') as [string, string?];
    await take(unpacked.programs.get(program), program, join('bin', name));
  }
}

/** The file that a path below `root` means when `root` is /. */
async function resolveLink(root: string, path: string, depth = 0): Promise<string> {
  const target = await readlink(join(root, path)).catch(() => undefined);
  if (target === undefined) return join(root, path);
  if (depth > 8) throw reasonError('fetch-failed', path, 'a link in the package leads in a circle');
  return resolveLink(root, target.startsWith('/') ? target.slice(1) : join(dirname(path), target), depth + 1);
}

const DT_NEEDED = 1;

/** What a program or library asks ld.so for: PT_INTERP and DT_NEEDED (System V ABI, chapter 5); nothing for a script. */
export function dynamicNeeds(
  bytes: Uint8Array,
  name: string,
): { interpreter: string | undefined; libraries: string[] } {
  const isElf = bytes[0] === 0x7f;
  const model = isElf ? readElf(bytes, name) : undefined;
  const dynamic = model && findSection(model, '.dynamic');
  const strings = model && findSection(model, '.dynstr');
  if (!dynamic || !strings) return { interpreter: undefined, libraries: [] };
  const view = new DataView(dynamic.data.buffer, dynamic.data.byteOffset, dynamic.data.length);
  const word = model.header.class / 8;
  const read = (at: number) => (word === 8 ? Number(view.getBigUint64(at, true)) : view.getUint32(at, true));
  const libraries: string[] = [];
  for (let at = 0; at + 2 * word <= view.byteLength; at += 2 * word) {
    if (read(at) === DT_NEEDED) libraries.push(cString(strings.data, read(at + word)) ?? '');
  }
  const interpreter = findSection(model, '.interp');
  return { interpreter: interpreter && cString(interpreter.data, 0), libraries };
}
