// Why a file of the source tree is not compiled in a kernel's configuration, from what the Makefiles say of it and of the
// folders that it is in. It explains what Kbuild has decided already, so reading a Makefile's lines is enough for it.

/** Reads a file of the source tree; undefined if there is none. */
export type ReadSource = (path: string) => string | undefined;

const dirnameOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf('/'), 0));
const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/**
 * A sentence. `isSet` says whether a CONFIG_ symbol is y or m; `architecture` is the kernel's folder below arch/.
 */
export function whyNotCompiled(
  path: string,
  read: ReadSource,
  isSet: (symbol: string) => boolean,
  architecture: string,
): string {
  const [top, second] = path.split('/');
  if (top === 'arch' && second !== architecture) return `it is for another architecture (${second})`;
  // From the file outwards: the first thing that is switched off explains it.
  let wanted = nameOf(path).replace(/\.[cS]$/, '.o');
  for (let folder = dirnameOf(path); folder !== ''; folder = dirnameOf(folder)) {
    const makefile = read(`${folder}/Kbuild`) ?? read(`${folder}/Makefile`);
    const off = makefile === undefined ? [] : switchedOff(makefile, wanted, isSet);
    if (off.length > 0) {
      return `it depends on ${off.join(' or ')}, which the kernel’s configuration has not set (${folder}/Makefile)`;
    }
    wanted = `${nameOf(folder)}/`;
  }
  return 'no Makefile has it compiled in the kernel’s configuration';
}

/**
 * The CONFIG_ symbols of a Makefile on which a name hangs, none of which is set; composite objects are followed. Empty where
 * one is set, or none decides.
 */
function switchedOff(makefile: string, first: string, isSet: (symbol: string) => boolean): string[] {
  const lines = makefile.replaceAll('\\\n', ' ').split('\n');
  const names = new Set([first]);
  for (const name of names) {
    const symbols: string[] = [];
    for (const line of lines) {
      const match = /^\s*([\w./-]+?)-(y|m|objs|\$\((CONFIG_\w+)\))\s*[:+?]?=\s*(.*)$/.exec(line);
      if (!match || !match[4]!.split(/\s+/).includes(name)) continue;
      if (match[3] !== undefined) symbols.push(match[3]);
      if (match[1] !== 'obj' && match[1] !== 'lib') names.add(`${match[1]}.o`);
    }
    if (symbols.length > 0 && !symbols.some(isSet)) return symbols;
  }
  return [];
}
