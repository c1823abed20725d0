// Which packages make one Debian kernel, and in which versions. Pure: what there is to choose from is passed in.
//
// Image, headers, source and build tools are separate packages. Image, headers and source must be of one version, since
// a patch is compiled against the latter two for the first. The build tools (linux-kbuild) run on this machine and come
// for its architecture, whose lists may be at another version: the nearest one of the same series does.

import type { Platform } from '../arch/arch.ts';
import { architectureByName, architectures } from '../arch/architectures.ts';
import { reasonError } from '../reason.ts';
import { compareVersions, type DebianPackage } from './debian.ts';

/** What `suture kernel fetch` was asked for. */
export interface KernelRequest {
  /** Platforms to look for it on, the likeliest first. */
  readonly platforms: readonly Platform[];
  /** The image's package; undefined for the newest of the platform's stock flavour. */
  readonly image?: string;
  readonly version?: string;
}

/** The packages that make one kernel. */
export interface KernelPackages {
  /** `linux-image-RELEASE` without the prefix. */
  readonly release: string;
  readonly image: DebianPackage;
  readonly headers: DebianPackage;
  readonly common: DebianPackage;
  readonly source: DebianPackage;
  readonly busybox: DebianPackage;
  /** The name of the package of build tools, to be looked up for this machine's architecture. */
  readonly kbuild: string;
  readonly debug: DebianPackage | undefined;
}

/** Whether a release is that of a platform's stock kernel, as `6.1.0-50-armmp` is, and `6.1.0-50-armmp-lpae` or `-rt-armmp` is not. */
export function isStockRelease(release: string, { debian }: Platform): boolean {
  const suffix = `-${debian.flavour}`;
  return release.endsWith(suffix) && /^\d[^-]*(-\d+)?$/.test(release.slice(0, -suffix.length));
}

/**
 * Reads `armhf|ppc64el|linux-image-RELEASE[:ARCH][=VERSION]`. A bare release (`6.1.0-50-armmp`) stands for its image's package.
 * Throws `usage` for an architecture that Suture does not know, and for what is no kernel's image.
 */
export function readRequest(text: string): KernelRequest {
  const platforms = architectures.map(({ platform }) => platform);
  const whole = architectureByName(text);
  if (whole) return { platforms: [whole.platform] };

  const match = /^([a-z0-9][a-z0-9+.~_-]*)(?::([a-z0-9-]+))?(?:=(\S+))?$/.exec(text);
  const among = match?.[2] === undefined ? platforms : platformsNamed(match[2]);
  const image = match?.[1]?.replace(/^(?=\d)/, 'linux-image-');
  // A name that is neither is a mistyped architecture more likely than a package.
  if (!image || !/^linux-image-./.test(image) || among.length === 0) {
    const names = platforms.map((each) => each.debian.architecture);
    throw reasonError(
      'usage',
      text,
      `neither an architecture that Suture knows (${names.join(', ')}) nor linux-image-RELEASE[:ARCH][=VERSION] for one of them`,
      `for example \`suture kernel fetch ${names[0]}\``,
    );
  }
  const fits = (each: Platform) => image.includes(each.debian.flavour);
  return {
    platforms: [...among.filter(fits), ...among.filter((each) => !fits(each))],
    image,
    ...(match?.[3] === undefined ? {} : { version: match[3] }),
  };
}

function platformsNamed(name: string): Platform[] {
  const architecture = architectureByName(name);
  if (architecture) return [architecture.platform];
  return architectures.flatMap(({ platform }) => {
    const { debian } = platform;
    return debian.others.includes(name) ? [{ ...platform, debian: { ...debian, architecture: name } }] : [];
  });
}

/**
 * Chooses the newest image for which all parts of the same version are there. `available` holds every version of every
 * package that may be needed; `images` narrows the choice. Throws `fetch-failed`, saying what is missing.
 */
export function choosePackages(
  available: readonly DebianPackage[],
  images: readonly DebianPackage[],
  what: string,
): KernelPackages {
  const exactly = (name: string, version: string) => available.find((p) => p.name === name && p.version === version);
  const newest = (name: string) => newestFirst(available.filter((p) => p.name === name))[0];
  const missing: string[] = [];

  for (const image of newestFirst(images)) {
    const names = namesOfParts(image.name, exactly(headersName(image.name), image.version));
    const [headers, common, source] = [headersName(image.name), names.common, names.source].map((name) =>
      exactly(name, image.version),
    );
    const busybox = newest('busybox-static');
    if (headers && common && source && busybox) {
      const debug = exactly(`${image.name}-dbg`, image.version);
      return { release: names.release, image, headers, common, source, busybox, kbuild: names.kbuild, debug };
    }
    const absent = Object.entries({
      [headersName(image.name)]: headers,
      [names.common]: common,
      [names.source]: source,
      'busybox-static': busybox,
    }).filter(([, found]) => !found);
    missing.push(`${image.name} ${image.version} is there without ${absent.map(([name]) => name).join(', ')}`);
  }
  throw reasonError(
    'fetch-failed',
    what,
    missing.length > 0 ? missing.join('; ') : 'no such kernel is in the package lists',
    'the sources in /etc/apt decide what can be had; `apt-cache search linux-image` lists what this machine sees',
  );
}

export const headersName = (image: string): string => image.replace(/^linux-image-/, 'linux-headers-');

/** What the other parts are called: as the headers' own dependencies have it, otherwise as bookworm has it. */
export function namesOfParts(image: string, headers: DebianPackage | undefined) {
  const release = image.replace(/^linux-image-/, '');
  const series = /^\d+\.\d+/.exec(release)?.[0] ?? '';
  const named = (pattern: RegExp, otherwise: string) =>
    headers?.depends.find((name) => pattern.test(name)) ?? otherwise;
  return {
    release,
    source: `linux-source-${series}`,
    common: named(/^linux-headers-.*-common/, `linux-headers-${release.replace(/-[^-]*$/, '')}-common`),
    kbuild: named(/^linux-kbuild-/, `linux-kbuild-${series}`),
  };
}

export const newestFirst = <T extends { version: string }>(packages: readonly T[]): T[] =>
  [...packages].sort((a, b) => compareVersions(b.version, a.version));

/** The build tools to take: the kernel's own version, else the oldest newer one, else the newest. */
export function nearestVersion(tools: readonly DebianPackage[], version: string): DebianPackage | undefined {
  const newer = newestFirst(tools.filter((each) => compareVersions(each.version, version) >= 0));
  return newer.at(-1) ?? newestFirst(tools)[0];
}
