// What a kernel holds, as far as it tells, so that a leak shows: objects in its slab caches, areas of vmalloc memory, modules
// with their references, armed call sites, directories of patches.
//
// SLUB counts as in use what a processor has set aside of a slab, up to whole slabs: with pages of 64 KiB thousands of
// objects. Where it checks its caches (`exactSlabs`) processors set nothing aside, and the counts are exact to the object
// (mm/slub.c, 6.1: kmem_cache_debug()).

/** For the guest's kernel: each allocation and each free is checked. Without it the counts are not exact. */
export const exactSlabs = 'slub_debug=F';

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
sync
# This also frees what waits for readers of RCU (kernel/rcu/tree.c: kfree_rcu_shrink_scan()), in a moment.
echo 3 > /proc/sys/vm/drop_caches
usleep 500000
sed 1,2d /proc/slabinfo | while read -r cache objects rest; do
  read -r reclaimable < /sys/kernel/slab/$cache/reclaim_account
  [ "$reclaimable" = 1 ] || echo "slab $cache $objects"
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
  const slab = of('slab')
    .map((line) => line.split(' '))
    .map(([name, objects]): [string, number] => [name!, Number(objects)])
    .filter(([name]) => !follows.has(name));
  const unreclaimable = of('meminfo').find((line) => line.startsWith('SUnreclaim:'));
  return {
    slab: new Map(slab),
    slabKilobytes: Number(/\d+/.exec(unreclaimable ?? '')?.[0]),
    vmallocAreas: Number(of('vmalloc')[0]),
    exact: of('exact'),
  };
}

/**
 * How many more objects a cache, and how many more areas vmalloc may have. The core's stock of entries for tasks that die
 * (core/dying.c) holds between 32 and 64 more than there are tasks; a worker that the kernel has started has some four
 * objects of a size and a stack in vmalloc.
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
