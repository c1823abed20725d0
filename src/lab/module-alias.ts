// The names by which a module may be asked for: `alias=` in its modinfo, with the wildcards of fnmatch(3) as modprobe takes them
// (libkmod's lookup of modules.alias): `*` any text, `?` a character, `[a-c]` one of some, `[!a]` one of the others. A dash is as
// good as an underscore, but within brackets.

/** Whether a name is meant by an alias. An alias with a bracket that is never closed means nothing. */
export function aliasMeans(alias: string, name: string): boolean {
  const parts = alias.match(/\[!?\]?[^\]]*\]|[^[]/g) ?? [];
  if (parts.join('') !== alias) return false;
  const text = name.replaceAll('-', '_');
  // Where the last star stands, and up to where it reaches; only that one needs another try.
  let star: { readonly part: number; at: number } | undefined;
  let part = 0;
  let at = 0;
  while (at < text.length) {
    const wanted = parts[part];
    if (wanted === '*') {
      star = { part: part++, at };
    } else if (wanted !== undefined && characterFits(wanted, text[at]!)) {
      part++;
      at++;
    } else if (star) {
      part = star.part + 1;
      at = ++star.at;
    } else return false;
  }
  return parts.slice(part).every((each) => each === '*');
}

function characterFits(part: string, character: string): boolean {
  if (!part.startsWith('[') || part.length === 1) return part === '?' || part.replace('-', '_') === character;
  const isOther = part[1] === '!';
  const members = part.slice(isOther ? 2 : 1, -1);
  const isMember = [...members.matchAll(/(.)-(.)|(.)/gs)].some(([, from, to, one]) =>
    one === undefined ? from! <= character && character <= to! : one === character,
  );
  return isMember !== isOther;
}
