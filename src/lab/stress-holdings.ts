// What a kernel holds, as far as it tells, so that a leak shows: objects in its slab caches, areas of vmalloc memory, modules
// with their references, armed call sites, directories of patches.
//
// SLUB counts as in use what a processor has set aside of a slab, up to whole slabs: with pages of 64 KiB thousands of
// objects. So each cache is told to take back what processors have set aside, and counted in the same moment; that is done
// several times, and the least count taken, for whoever allocates in between only adds to it. What is left is exact to the
// object but for what counting itself uses.

export interface Holdings {
  /**
   * Objects in use of each slab cache. Without those that the kernel empties under pressure (dentries, inodes and what
   * hangs on them), and without vmap_area, which also counts areas that are free and not yet given back.
   */
  readonly slab: ReadonlyMap<string, number>;
  /** Kilobytes in slabs that cannot be reclaimed (/proc/meminfo). */
  readonly slabKilobytes: number;
  /** Areas in /proc/vmallocinfo, without those that are free and not yet given back (mm/vmalloc.c: lazily, when there are many). */
  readonly vmallocAreas: number;
  /** Lines that must come back as they were: modules with sizes and reference counts, armed call sites, patches. */
  readonly exact: readonly string[];
}

/** Prints what `readHoldings` reads. For busybox's shell; tracefs must be mounted. */
export const holdingsScript = `
# On one processor: the other one opens no files meanwhile.
taskset -p 1 $$ > /dev/null
slab=/sys/kernel/slab
sed 1,2d /proc/slabinfo | while read -r cache rest; do
  read -r reclaimable 2> /dev/null < $slab/$cache/reclaim_account || continue
  [ "$reclaimable" = 1 ] || echo $cache
done > /run/caches
for pass in 1 2 3 4; do
  # The same inodes at the same point of every pass.
  sync
  echo 3 > /proc/sys/vm/drop_caches
  while read -r cache; do
    echo 1 > $slab/$cache/shrink
    read -r objects rest < $slab/$cache/objects
    echo "slab $cache $objects"
  done < /run/caches
done
sed 's/^/meminfo /' /proc/meminfo
echo "vmalloc $(grep -vcE 'unpurged|vm_map_ram' /proc/vmallocinfo)"
cut -d' ' -f1-3 /proc/modules | sed 's/^/exact module /'
sed 's/^/exact armed /' /sys/kernel/tracing/enabled_functions
ls /sys/kernel/livepatch 2> /dev/null | sed 's/^/exact patch /'
`;

/** Caches whose objects come and go with what the kernel empties under pressure, although they are not marked so. */
const follows = new Set(['vmap_area', 'lsm_inode_cache']);

export function readHoldings(text: string): Holdings {
  const lines = text.split('\n').map((line) => {
    const space = line.indexOf(' ');
    return { kind: line.slice(0, space), rest: line.slice(space + 1) };
  });
  const of = (kind: string) => lines.filter((line) => line.kind === kind).map(({ rest }) => rest);
  const slab = new Map<string, number>();
  for (const line of of('slab')) {
    const [name, objects] = line.split(' ') as [string, string];
    if (!follows.has(name)) slab.set(name, Math.min(Number(objects), slab.get(name) ?? Number.POSITIVE_INFINITY));
  }
  const unreclaimable = of('meminfo').find((line) => line.startsWith('SUnreclaim:'));
  return {
    slab,
    slabKilobytes: Number(/\d+/.exec(unreclaimable ?? '')?.[0]),
    vmallocAreas: Number(of('vmalloc')[0]),
    exact: of('exact'),
  };
}

/**
 * How many more objects a cache, and how many more areas vmalloc may have. Counting a kernel that does nothing gave up to 40
 * objects more or less (on ARM one cache holds what hangs on files and on inodes), and an area (a worker's stack).
 */
const tolerated = { objects: 64, areas: 8 } as const;

/**
 * What is held after a phase and was not before, beyond what a run without patches came to hold, a line each. `baseline` is
 * that run's growth. Modules, armed call sites and patches must be the same.
 */
export function grown(before: Holdings, after: Holdings, baseline: Growth = noGrowth): string[] {
  const { slab, areas } = growth(before, after);
  const caches = [...slab].filter(([name, more]) => more > (baseline.slab.get(name) ?? 0) + tolerated.objects);
  return [
    ...caches.map(([name, more]) => `${name}: ${more} objects more`),
    ...(areas > Math.max(0, baseline.areas) + tolerated.areas ? [`vmalloc: ${areas} areas more`] : []),
    ...after.exact.filter((line) => !before.exact.includes(line)).map((line) => `now: ${line}`),
    ...before.exact.filter((line) => !after.exact.includes(line)).map((line) => `no longer: ${line}`),
  ];
}

/** By how much each cache, and the number of vmalloc areas, has grown. */
export interface Growth {
  readonly slab: ReadonlyMap<string, number>;
  readonly areas: number;
}

export const noGrowth: Growth = { slab: new Map(), areas: 0 };

/** The caches that have grown, and by how many objects; those that have not are left out. */
export function growth(before: Holdings, after: Holdings): Growth {
  const more = [...after.slab].map(([name, count]): [string, number] => [name, count - (before.slab.get(name) ?? 0)]);
  return { slab: new Map(more.filter(([, count]) => count > 0)), areas: after.vmallocAreas - before.vmallocAreas };
}
