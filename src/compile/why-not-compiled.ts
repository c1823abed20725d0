// Why a file of the source tree is not compiled in a kernel's configuration, from what the Makefiles say of it and of the
// folders that it is in. It explains what Kbuild has decided already, so reading a Makefile's lines is enough for it.

/** Reads a file of the source tree; undefined if there is none. */
export type ReadSource = (path: string) => string | undefined;

const dirnameOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf('/'), 0));
const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/**
 * A sentence; undefined where the Makefiles do not show it: then something else may be made of the file than an object of the
 * kernel. `isSet` says whether a CONFIG_ symbol is y or m; `architecture` is the kernel's folder below arch/.
 */
export function whyNotCompiled(
  path: string,
  read: ReadSource,
  isSet: (symbol: string) => boolean,
  architecture: string,
): string | undefined {
  const [top, second, third] = path.split('/');
  if (top === 'arch' && second !== architecture) return `it is for another architecture (${second})`;
  if (top === 'arch' && third === 'boot') return 'it is of what loads the kernel, and has done its work';
  // From the file outwards: the first thing that is switched off explains it.
  const object = nameOf(path).replace(/\.[cS]$/, '.o');
  let wanted = object;
  for (let folder = dirnameOf(path); folder !== ''; folder = dirnameOf(folder)) {
    const makefile = read(`${folder}/Kbuild`) ?? read(`${folder}/Makefile`);
    const off = makefile === undefined ? [] : switchedOff(makefile, wanted, isSet);
    if (off.length > 0) {
      return `it depends on ${off.join(' or ')}, which the kernel’s configuration has not set (${folder}/Makefile)`;
    }
    wanted = `${nameOf(folder)}/`;
  }
  // Between ifdefs: Kbuild knows the name, and has left it out.
  const folder = dirnameOf(path);
  const own = read(`${folder}/Kbuild`) ?? read(`${folder}/Makefile`) ?? '';
  return listsOf(own).some(({ names }) => names.includes(object))
    ? `${folder}/Makefile leaves it out in the kernel’s configuration`
    : undefined;
}

/** The lists of objects in a Makefile: `obj-y += open.o`, `ext4-$(CONFIG_EXT4_FS_POSIX_ACL) += acl.o`. */
function listsOf(makefile: string) {
  return makefile
    .replaceAll('\\\n', ' ')
    .split('\n')
    .flatMap((line) => {
      const [, list = '', , symbol, names] =
        /^\s*([\w./-]+?)-(y|m|objs|\$\((CONFIG_\w+)\))\s*[:+?]?=\s*(.*)$/.exec(line) ?? [];
      return names === undefined ? [] : [{ list, symbol, names: names.split(/\s+/) }];
    });
}

/**
 * The CONFIG_ symbols of a Makefile on which a name hangs, none of which is set; composite objects are followed. Empty where
 * one is set, or none decides.
 */
function switchedOff(makefile: string, first: string, isSet: (symbol: string) => boolean): string[] {
  const lists = listsOf(makefile);
  const wanted = new Set([first]);
  for (const name of wanted) {
    const symbols: string[] = [];
    for (const { list, symbol, names } of lists) {
      if (!names.includes(name)) continue;
      if (symbol !== undefined) symbols.push(symbol);
      if (list !== 'obj' && list !== 'lib') wanted.add(`${list}.o`);
    }
    if (symbols.length > 0 && !symbols.some(isSet)) return symbols;
  }
  return [];
}
