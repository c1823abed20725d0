// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls a function of the kernel itself, int_pow(), and the same in bench_plain.c, while
 * that is measured.
 *
 * Reading /proc/suture_bench calls each again and again (measure.h). Both are other objects'
 * functions, so both calls go through the loader's stubs for these.
 */
#include <linux/kernel.h>
#include <linux/math.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

#include "measure.h"

u64 bench_plain(u64 base, unsigned int exp);

static int bench_show(struct seq_file *m, void *v)
{
	MEASURE(m, "int_pow", 100000, int_pow(2, 0));
	MEASURE(m, "bench_plain", 100000, bench_plain(2, 0));
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
