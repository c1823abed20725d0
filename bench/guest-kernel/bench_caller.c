// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls a function of the kernel itself, int_pow(), and the same in bench_plain.c, while
 * that is measured.
 *
 * Reading /proc/suture_bench calls each again and again, with interrupts off: `NAME CALLS
 * NANOSECONDS`, a nanosecond being an instruction (-icount shift=0). Both are other
 * objects' functions, so both calls go through the loader's stubs for these.
 */
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/math.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

#define CALLS		100000

u64 bench_plain(u64 base, unsigned int exp);

#define MEASURE(m, function)							\
	do {									\
		unsigned long flags, left;					\
		u64 start, end;							\
										\
		local_irq_save(flags);						\
		start = ktime_get_raw_ns();					\
		for (left = CALLS; left; left--)				\
			function(2, 0);						\
		end = ktime_get_raw_ns();					\
		local_irq_restore(flags);					\
		seq_printf(m, "%s %d %llu\n", #function, CALLS, end - start);	\
	} while (0)

static int bench_show(struct seq_file *m, void *v)
{
	MEASURE(m, int_pow);
	MEASURE(m, bench_plain);
	return 0;
}

static int __init bench_init(void)
{
	if (!proc_create_single("suture_bench", 0444, NULL, bench_show))
		return -ENOMEM;
	return 0;
}

static void __exit bench_exit(void)
{
	remove_proc_entry("suture_bench", NULL);
}

module_init(bench_init);
module_exit(bench_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Suture: calls of a function of the kernel that are measured");
