// A random order that is the same wherever and whenever it is made: who names a seed names a sample.

/**
 * SplitMix32: each number below 2^32 is one step of a counter, mixed. The step is the golden ratio's, as in SplitMix64 (Steele,
 * Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014), the mixing is MurmurHash3's 32-bit finaliser (Appleby).
 */
export function splitMix32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return (mixed ^ (mixed >>> 16)) >>> 0;
  };
}

/** The items in the order of a seed (Fisher and Yates). Those of a larger sample begin with those of a smaller one. */
export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const next = splitMix32(seed);
  const drawn = [...items];
  for (let i = 0; i < drawn.length - 1; i++) {
    const other = i + (next() % (drawn.length - i));
    [drawn[i], drawn[other]] = [drawn[other]!, drawn[i]!];
  }
  return drawn;
}
