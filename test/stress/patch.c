// SPDX-License-Identifier: GPL-2.0-only
/*
 * A patch of both functions of target.c, and of two of the kernel, of which one calls
 * the other. Built under several names; `version` says what its functions write down,
 * `replace` whether it takes the place of all other patches.
 *
 * Who reads /proc/loadavg gets the version of the outer function and twice that of the
 * inner one, which it called before and after it slept. Half a patch shows in the line,
 * also if it is the kernel's own function that has called the new one: 71 is no load.
 */
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/loadavg.h>
#include <linux/seq_file.h>

#include "stress-call.h"

static int version = 1;
module_param(version, int, 0444);
static bool replace;
module_param(replace, bool, 0444);

static void new_inner(struct stress_call *call)
{
	call->inner = version;
}

static void new_outer(struct stress_call *call)
{
	call->outer = version;
	stress_pause(call);
	call->call_inner(call);
}

/* Called through the kernel's name for it. */
static void new_get_avenrun(unsigned long *loads, unsigned long offset, int shift)
{
	loads[0] = loads[1] = loads[2] = (70 + version) * FIXED_1;
}

static int new_loadavg_proc_show(struct seq_file *m, void *v)
{
	unsigned long before[3], after[3];

	get_avenrun(before, 0, 0);
	schedule_timeout_uninterruptible(1);
	get_avenrun(after, 0, 0);
	seq_printf(m, "%lu and %lu in %d\n", before[0] / FIXED_1,
		   after[0] / FIXED_1, 70 + version);
	return 0;
}

static struct klp_func target_funcs[] = {
	{ .old_name = "stress_inner", .new_func = new_inner },
	{ .old_name = "stress_outer", .new_func = new_outer },
	{ }
};

static struct klp_func kernel_funcs[] = {
	{ .old_name = "get_avenrun", .new_func = new_get_avenrun },
	{ .old_name = "loadavg_proc_show", .new_func = new_loadavg_proc_show },
	{ }
};

static struct klp_object objs[] = {
	{ .name = "stress_target", .funcs = target_funcs },
	{ .funcs = kernel_funcs },
	{ }
};

static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };

static int __init patch_init(void)
{
	patch.replace = replace;
	return klp_enable_patch(&patch);
}

static void __exit patch_exit(void)
{
}

module_init(patch_init);
module_exit(patch_exit);
MODULE_DESCRIPTION("A patch under stress");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
