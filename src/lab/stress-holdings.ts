// What a kernel holds, as far as it tells, so that a leak shows: objects in its slab caches, areas of vmalloc memory, modules
// with their references, armed call sites, directories of patches.

export interface SlabCache {
  readonly inUse: number;
  /** How many objects share a slab. */
  readonly perSlab: number;
}

export interface Holdings {
  /** Objects in use of each slab cache (/proc/slabinfo, format 2.1). Caches that the kernel empties under pressure are emptied first. */
  readonly slab: ReadonlyMap<string, SlabCache>;
  /** Kilobytes in slabs that cannot be reclaimed (/proc/meminfo). */
  readonly slabKilobytes: number;
  /** Areas in /proc/vmallocinfo. */
  readonly vmallocAreas: number;
  /** Lines that must come back as they were: modules with sizes and reference counts, armed call sites, patches. */
  readonly exact: readonly string[];
}

/** Prints what `readHoldings` reads. For busybox's shell; tracefs must be mounted. */
export const holdingsScript = `
sync
echo 3 > /proc/sys/vm/drop_caches
# SLUB counts what each processor has set aside as in use; after this it has set nothing aside.
for cache in /sys/kernel/slab/*/shrink; do echo 1 > $cache; done 2> /dev/null
sed 's/^/slab /' /proc/slabinfo
sed 's/^/meminfo /' /proc/meminfo
echo "vmalloc $(grep -vc 'unpurged|vm_map_ram' /proc/vmallocinfo)"
echo "unpurged $(grep -c unpurged /proc/vmallocinfo)"
cut -d' ' -f1-3 /proc/modules | sed 's/^/exact module /'
sed 's/^/exact armed /' /sys/kernel/tracing/enabled_functions
ls /sys/kernel/livepatch | sed 's/^/exact patch /'
`;

export function readHoldings(text: string): Holdings {
  const lines = text.split('\n').map((line) => {
    const space = line.indexOf(' ');
    return { kind: line.slice(0, space), rest: line.slice(space + 1) };
  });
  const of = (kind: string) => lines.filter((line) => line.kind === kind).map(({ rest }) => rest);
  const unpurged = Number(of('unpurged')[0]);
  const slab = of('slab')
    .filter((line) => !/^(slabinfo|#)/.test(line))
    .map((line) => line.split(/\s+/))
    // Areas that are free and not yet given back (mm/vmalloc.c: lazily, when there are many) have their objects still.
    .map(([name, inUse, , , perSlab]): [string, SlabCache] => [
      name!,
      { inUse: Number(inUse) - (name === 'vmap_area' ? unpurged : 0), perSlab: Number(perSlab) },
    ]);
  const unreclaimable = of('meminfo').find((line) => line.startsWith('SUnreclaim:'));
  return {
    slab: new Map(slab),
    slabKilobytes: Number(/\d+/.exec(unreclaimable ?? '')?.[0]),
    vmallocAreas: Number(of('vmalloc')[0]),
    exact: of('exact'),
  };
}

/** SLUB counts the slab that a processor allocates from as wholly in use; the guest has two processors. */
const processors = 2;

/**
 * What is held after `cycles` cycles and was not before, a line each. A cache may have grown by as many objects as a quarter
 * of the cycles, 64 at least, and by a slab for each processor: on a kernel with pages of 64 KiB a slab of the smallest ones
 * has thousands. vmalloc may have grown by eight areas (stacks of processes, kept for the next). The rest must be the same.
 */
export function grown(before: Holdings, after: Holdings, cycles: number): string[] {
  const tolerance = ({ perSlab }: SlabCache) => Math.max(64, Math.floor(cycles / 4)) + processors * perSlab;
  const caches = [...after.slab]
    .map(([name, cache]) => ({ name, cache, more: cache.inUse - (before.slab.get(name)?.inUse ?? 0) }))
    .filter(({ cache, more }) => more > tolerance(cache))
    .map(({ name, more }) => `${name}: ${more} objects more`);
  const areas = after.vmallocAreas - before.vmallocAreas;
  return [
    ...caches,
    ...(areas > 8 ? [`vmalloc: ${areas} areas more`] : []),
    ...after.exact.filter((line) => !before.exact.includes(line)).map((line) => `now: ${line}`),
    ...before.exact.filter((line) => !after.exact.includes(line)).map((line) => `no longer: ${line}`),
  ];
}
