// The ordinary apt client with lists of its own: packages of any architecture, without touching what the host has.
//
// Where packages come from, whose signatures count and which proxy is used stays as the host has it (Dir::Etc). All
// that apt writes (lists, caches, locks) goes into our cache, so that it works without privileges, and the host's
// architectures, lists and dpkg database stay as they are. Nothing is installed: packages are downloaded and unpacked.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { reasonError } from '../reason.ts';
import { cacheFolder, withLock } from './cache.ts';
import { type DebianPackage, readStanzas } from './debian.ts';
import { makeFolders } from './make-folders.ts';
import { type RunResult, run } from './run.ts';

/** Debian's sources as seen by a machine of one architecture. */
export interface Apt {
  readonly architecture: string;
  /**
   * Fetches the package lists anew. What goes wrong is returned as apt's own lines, not thrown: apt fails as a whole
   * over one unreachable list, and whether that matters shows when a package is looked up.
   */
  update(): Promise<string>;
  /** The names of all packages that start so. */
  names(prefix: string): Promise<string[]>;
  /** Every version of the named packages that can be had, in no order; a name that is not there adds nothing. */
  show(...names: string[]): Promise<DebianPackage[]>;
  /** Downloads packages (apt checks their hashes) and unpacks them all into one folder. Throws `fetch-failed`. */
  unpack(packages: readonly DebianPackage[], downloads: string, into: string): Promise<void>;
}

/** The Debian name of the architecture of this machine. */
export async function hostArchitecture(): Promise<string> {
  return (await run('dpkg', ['--print-architecture'])).stdout.trim();
}

/**
 * apt.conf(5), read after the host's own. `#clear` is needed where a list would be added to. The hooks are the host's
 * (docker images empty its package cache in one), the index targets are desktop data that nothing here reads.
 */
const configuration = (architecture: string, folder: string) => `\
#clear APT::Architectures;
#clear APT::Update;
#clear Acquire::IndexTargets;
APT::Architecture "${architecture}";
APT::Architectures { "${architecture}"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::IndexTargets::deb::Packages {
  MetaKey "$(COMPONENT)/binary-$(ARCHITECTURE)/Packages";
  flatMetaKey "Packages";
  ShortDescription "Packages";
  Description "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Packages";
  flatDescription "$(RELEASE) Packages";
  Optional "no";
};
Dir::State "${folder}/state";
Dir::State::lists "${folder}/state/lists";
Dir::State::status "${folder}/state/status";
Dir::Cache "${folder}/cache";
Dir::Cache::archives "${folder}/cache/archives";
Dir::Cache::pkgcache "${folder}/cache/pkgcache.bin";
Dir::Cache::srcpkgcache "${folder}/cache/srcpkgcache.bin";
`;

/** Opens the lists of one architecture inside the cache, empty at first. */
export function openApt(architecture: string): Apt {
  const folder = join(cacheFolder(), 'apt', architecture);
  const file = join(folder, 'apt.conf');

  const apt = (program: string, args: readonly string[], options: { cwd?: string; accept?: readonly number[] } = {}) =>
    run(program, ['-c', file, '-q', ...args], { ...options, env: { LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' } });

  return {
    architecture,

    async update() {
      makeFolders(join(folder, 'state', 'lists', 'partial'));
      makeFolders(join(folder, 'cache', 'archives', 'partial'));
      writeFileSync(join(folder, 'state', 'status'), '');
      writeFileSync(file, configuration(architecture, folder));
      return withLock(`apt-${architecture}`, async () =>
        complaints(await apt('apt-get', ['update'], { accept: [0, 100] })),
      );
    },

    async names(prefix) {
      return (await apt('apt-cache', ['pkgnames', prefix])).stdout.split('\n').filter((name) => name !== '');
    },

    async show(...names) {
      if (names.length === 0) return [];
      // 100: none of the names is there.
      return readStanzas((await apt('apt-cache', ['show', ...names], { accept: [0, 100] })).stdout);
    },

    async unpack(packages, downloads, into) {
      for (const each of packages) {
        const wanted = `${each.name}=${each.version}`;
        const result = await apt('apt-get', ['download', wanted], { cwd: downloads, accept: [0, 100] });
        if (result.status !== 0) {
          throw reasonError(
            'fetch-failed',
            wanted,
            complaints(result),
            'try again; if a mirror is being renewed, later',
          );
        }
        // apt writes the epoch's colon as %3a.
        const version = each.version.replaceAll(':', '%3a');
        await run('dpkg-deb', ['--extract', join(downloads, `${each.name}_${version}_${each.architecture}.deb`), into]);
      }
    },
  };
}

/** What apt says went wrong: its lines marked `E:` and `Err:`. */
function complaints({ stdout, stderr }: RunResult): string {
  return [...stdout.split('\n'), ...stderr.split('\n')].filter((line) => /^(E|Err)(:|\d)/.test(line)).join('\n');
}
