// SPDX-License-Identifier: GPL-2.0-only
/*
 * A function that is only ever called through a pointer, replaced by one of
 * another name: /proc/version is shorter and says that the kernel is patched.
 */
#include <linux/seq_file.h>
#include <linux/utsname.h>
#include <suture/fix.h>

static int patched_version(struct seq_file *m, void *v)
{
	seq_printf(m, "%s, patched live\n", utsname()->release);
	return 0;
}
SUTURE_REPLACES(patched_version, version_proc_show, 0, "");
