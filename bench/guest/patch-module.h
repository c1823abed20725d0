/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A livepatch module of the functions in funcs[]. PATCHED is the name of the module that
 * they are in, or NULL for the kernel itself.
 */
#include <linux/livepatch.h>
#include <linux/module.h>

static struct klp_object objs[] = {
	{ .name = PATCHED, .funcs = funcs },
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
