// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions of which the core could never see that all tasks have left them:
 * stack.c does not look at some tasks, or always finds one inside.
 */
#include <linux/kernel.h>
#include <linux/string.h>

#include "suture.h"

static const char * const never_left[] = {
	/* Wherever a task is switched out, and so every task that sleeps. */
	"__schedule", "schedule", "schedule_idle", "__switch_to",
	/* Idle tasks, also of CPUs that are off. */
	"rest_init", "start_secondary", "secondary_start_kernel",
	"cpu_startup_entry", "do_idle", "arch_cpu_idle_dead",
	"pseries_cpu_offline_self",
	/* The stoppers of stop_machine(), and workers, of which one looks again. */
	"kthread", "smpboot_thread_fn", "cpu_stopper_thread", "multi_cpu_stop",
	"worker_thread", "process_one_work",
	/* Where tasks die: what is not returned to, and what takes them off the list. */
	"do_exit", "exit_notify", "release_task", "do_task_dead",
	/* Who tells the core that a module goes. */
	"blocking_notifier_call_chain", "notifier_call_chain",
};

/**
 * suture_is_never_left() - whether a function of the kernel cannot be patched
 * @name:	as kallsyms has it
 */
bool suture_is_never_left(const char *name)
{
	size_t i, length = strcspn(name, ".");	/* gcc's .isra.0 and the like */

	for (i = 0; i < ARRAY_SIZE(never_left); i++) {
		if (strlen(never_left[i]) == length &&
		    !strncmp(never_left[i], name, length))
			return true;
	}
	return false;
}
