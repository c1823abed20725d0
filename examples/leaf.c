// SPDX-License-Identifier: GPL-2.0-only
/*
 * A leaf without a frame, called from the function beside it: the load average
 * is made up. loadavg_proc_show, which calls it, was compiled to know that a
 * function of vmlinux keeps the TOC: on ppc64le this is the case of the 2015
 * posting. The new function lives in a module with a TOC of its own and uses
 * it, so something must give the caller's back.
 */
#include <linux/compiler.h>
#include <linux/sched/loadavg.h>

static unsigned long shown[3] = { 11 * FIXED_1, 22 * FIXED_1, 33 * FIXED_1 };

void get_avenrun(unsigned long *loads, unsigned long offset, int shift)
{
	int i;

	for (i = 0; i < 3; i++)
		loads[i] = (READ_ONCE(shown[i]) + offset) << shift;
}
