/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A patch of the first so and so many functions of bench_target.c, written for the kernel's
 * own livepatch and for Suture alike. FUNCTIONS says of which.
 */
#include <linux/livepatch.h>
#include <linux/module.h>

#include "functions.h"

#define FUNCTION(n)	static called void new_##n(void) { }
FUNCTIONS
#undef FUNCTION

#define FUNCTION(n)	{ .old_name = "bench_" #n, .new_func = new_##n },
static struct klp_func funcs[] = { FUNCTIONS { } };
#undef FUNCTION

static struct klp_object objs[] = {
	{ .name = "bench_target", .funcs = funcs },
	{ }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

static int __init patch_init(void)
{
	return klp_enable_patch(&patch);
}

static void __exit patch_exit(void)
{
}

module_init(patch_init);
module_exit(patch_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Suture: a patch of functions whose calls are measured");
MODULE_INFO(livepatch, "Y");
