// SPDX-License-Identifier: GPL-2.0-only
/*
 * A module to be patched, for tests: /proc/target has the addresses of what recipes
 * refer to in it.
 */
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

int target_function(int x);
int (*target_other_twin(void))(void);

noinline int target_function(int x)
{
	return x + 1;
}

/* Another one is in target-twin.c. */
static noinline int twin(void)
{
	return 1;
}

/* So that only one of them is at the start. */
static int __used first[4] __section(".data.target") = { 1 };
static int second[4] __section(".data.target") = { 2 };
static int unset[4] __section(".bss.target");

static int target_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%px %px %px %px %px\n", target_function, twin,
		   target_other_twin(), second, unset);
	return 0;
}

static int __init target_init(void)
{
	return proc_create_single("target", 0400, NULL, target_show) ? 0 : -ENOMEM;
}

static void __exit target_exit(void)
{
	remove_proc_entry("target", NULL);
}

module_init(target_init);
module_exit(target_exit);
MODULE_DESCRIPTION("Something to patch, for tests");
MODULE_LICENSE("GPL");
