/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A patch of int_pow(), and of functions of the kernel that nothing calls in the guest:
 * OTHERS, one FUNCTION(name) each.
 */
#include <linux/livepatch.h>
#include <linux/math.h>
#include <linux/module.h>

#include "power.h"

static POWER(new_int_pow)

static __maybe_unused void new_other(void)
{
}

#define FUNCTION(name)	{ .old_name = #name, .new_func = new_other },
static struct klp_func funcs[] = {
	{ .old_name = "int_pow", .new_func = new_int_pow },
	OTHERS
	{ }
};
#undef FUNCTION

static struct klp_object objs[] = {
	{ .funcs = funcs },
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
MODULE_DESCRIPTION("Suture: a patch of functions of the kernel whose calls are measured");
MODULE_INFO(livepatch, "Y");
