// What Debian's package files say: control stanzas and version numbers. Pure text, nothing is run here.

/** One version of a package, as `apt-cache show` has it. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  /** As the package has it: `armhf`, or `all`. */
  readonly architecture: string;
  /** Names of the packages that it depends on, alternatives in order, versions left out. */
  readonly depends: readonly string[];
  /** Bytes to fetch. */
  readonly size: number;
}

/** Reads control stanzas (Debian Policy, chapter 5), separated by empty lines; stanzas without a package are left out. */
export function readStanzas(text: string): DebianPackage[] {
  return text.split(/\n\s*\n/).flatMap((stanza) => {
    const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*(?:\\n[ \\t].*)*)`, 'im').exec(stanza)?.[1]?.trim();
    const name = field('Package');
    const version = field('Version');
    if (!name || !version) return [];
    const depends = (field('Depends') ?? '').split(/[,|]/).map((each) => each.trim().split(/[\s(:]/)[0]!);
    return [
      {
        name,
        version,
        architecture: field('Architecture') ?? '',
        depends: depends.filter((each) => each !== ''),
        size: Number(field('Size') ?? 0),
      },
    ];
  });
}

/** Orders two version numbers as dpkg does (deb-version(7)): negative if `a` is the older one. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [splitVersion(a), splitVersion(b)];
  return (
    left.epoch - right.epoch ||
    compareParts(left.upstream, right.upstream) ||
    compareParts(left.revision, right.revision)
  );
}

/** `[epoch:]upstream[-revision]`: the first colon and the last hyphen count. */
function splitVersion(version: string) {
  const colon = version.indexOf(':');
  const rest = version.slice(colon + 1);
  const hyphen = rest.lastIndexOf('-');
  return {
    epoch: colon < 0 ? 0 : Number(version.slice(0, colon)),
    upstream: hyphen < 0 ? rest : rest.slice(0, hyphen),
    revision: hyphen < 0 ? '' : rest.slice(hyphen + 1),
  };
}

/** Compares runs of non-digits, then of digits, in turn. A missing run counts as empty, or as zero. */
function compareParts(a: string, b: string): number {
  const [left, right] = [runs(a), runs(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const [l, r] = [left[i] ?? '', right[i] ?? ''];
    const order = i % 2 === 0 ? compareLetters(l, r) : Number(l) - Number(r);
    if (order !== 0) return order;
  }
  return 0;
}

/** Runs of non-digits and digits in turn, the first one of non-digits, if empty. */
function runs(part: string): string[] {
  const found: string[] = part.match(/\D+|\d+/g) ?? [];
  return /^\d/.test(part) ? ['', ...found] : found;
}

/** `~` sorts before the end of the run, letters before everything else. */
function compareLetters(a: string, b: string): number {
  const weight = (character: string | undefined) =>
    character === undefined
      ? 0
      : character === '~'
        ? -1
        : /[A-Za-z]/.test(character)
          ? character.charCodeAt(0)
          : 256 + character.charCodeAt(0);
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const order = weight(a[i]) - weight(b[i]);
    if (order !== 0) return order;
  }
  return 0;
}
