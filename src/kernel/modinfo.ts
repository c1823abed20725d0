// `.modinfo`: what a module says about itself, as `key=value`, each ended by a zero (include/linux/moduleparam.h).

/** The entries in order; keys may repeat (`alias`, `import_ns`). What has no `=` is left out, as the kernel does. */
export function readModinfo(bytes: Uint8Array): (readonly [key: string, value: string])[] {
  return new TextDecoder()
    .decode(bytes)
    .split('\0')
    .filter((entry) => entry.includes('='))
    .map((entry) => {
      const equals = entry.indexOf('=');
      return [entry.slice(0, equals), entry.slice(equals + 1)] as const;
    });
}
