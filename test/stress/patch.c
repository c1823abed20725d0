// SPDX-License-Identifier: GPL-2.0-only
/*
 * A patch of both functions of target.c, and of one of the kernel. Built under several
 * names; `version` says what its functions write down, `replace` whether it takes the
 * place of all other patches.
 */
#include <linux/livepatch.h>
#include <linux/module.h>
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

static int new_cmdline_proc_show(struct seq_file *m, void *v)
{
	seq_printf(m, "version %d\n", version);
	return 0;
}

static struct klp_func target_funcs[] = {
	{ .old_name = "stress_inner", .new_func = new_inner },
	{ .old_name = "stress_outer", .new_func = new_outer },
	{ }
};

static struct klp_func kernel_funcs[] = {
	{ .old_name = "cmdline_proc_show", .new_func = new_cmdline_proc_show },
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
