// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is called while its cost is measured: a thousand empty functions.
 *
 * Reading /proc/suture_bench calls each of them again and again, with interrupts off:
 * `NNN CALLS NANOSECONDS`. Then `tasks N words N`: how many tasks there are, and how much
 * of their stacks is in use.
 *
 * In a guest whose time follows its instructions (-icount shift=0) a nanosecond is an
 * instruction.
 */
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/seq_file.h>

#include "functions.h"
#include "measure.h"

#define FUNCTION(n)	void bench_##n(void); called void bench_##n(void) { }
FUNCTIONS_1000
#undef FUNCTION

/* One after the other, each with a loop of its own: a call through a pointer is another call. */
#define FUNCTION(n)							\
	static noinline void measure_##n(struct seq_file *m)		\
	{								\
		MEASURE(m, #n, 2000, bench_##n());			\
	}
FUNCTIONS_1000
#undef FUNCTION

static unsigned long saved_sp(struct task_struct *task)
{
#ifdef CONFIG_ARM
	return thread_saved_sp(task);
#else
	return task->thread.ksp;
#endif
}

static void count_words(struct seq_file *m)
{
	unsigned long tasks = 0, words = 0, top;
	struct task_struct *process, *task;

	rcu_read_lock();
	for_each_process_thread(process, task) {
		tasks++;
		top = (unsigned long)task_stack_page(task) + THREAD_SIZE;
		if (task != current)
			words += (top - saved_sp(task)) / sizeof(long);
	}
	rcu_read_unlock();
	seq_printf(m, "tasks %lu words %lu\n", tasks, words);
}

static int bench_show(struct seq_file *m, void *v)
{
#define FUNCTION(n)	measure_##n(m);
	FUNCTIONS_1000
#undef FUNCTION
	count_words(m);
	return 0;
}

static int __init bench_init(void)
{
	if (!proc_create_single("suture_bench", 0444, NULL, bench_show))
		return -ENOMEM;
	return 0;
}

static void __exit bench_exit(void)
{
	remove_proc_entry("suture_bench", NULL);
}

module_init(bench_init);
module_exit(bench_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Suture: functions whose calls are measured");
