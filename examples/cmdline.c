// SPDX-License-Identifier: GPL-2.0-only
/*
 * The smallest fix there is: /proc/cmdline tells no more what the machine was
 * started with. The kernel calls the old function through a pointer of procfs.
 */
#include <linux/seq_file.h>

static int cmdline_proc_show(struct seq_file *m, void *v)
{
	seq_puts(m, "hidden by a live patch\n");
	return 0;
}
