// The configuration that a kernel was built with: `.config`, or `/boot/config-RELEASE`.

/**
 * The options by name without `CONFIG_`: `y`, `m`, a number as it stands, a string without its quotes. Options that are
 * not set are not in it. Lines of any other kind are left out.
 */
export function parseConfig(text: string): ReadonlyMap<string, string> {
  const options = new Map<string, string>();
  for (const [, name, value] of text.matchAll(/^CONFIG_(\w+)=(.*)$/gm)) {
    const quoted = /^"(.*)"$/.exec(value!)?.[1];
    options.set(name!, quoted === undefined ? value! : quoted.replace(/\\(.)/g, '$1'));
  }
  return options;
}
