// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether a processor goes on executing text that another one has written, where no patch
 * and no core of ours is: only ftrace, which has a callback of this module's called at a
 * function or not, again and again, while a thread on another processor calls the function.
 *
 * When ftrace says that the callback is armed, and each processor has synchronised itself
 * since (isync in an interrupt), every call must reach it. Where fifty in a row do not, and the
 * word in memory is the call, the processor executes what has been there before.
 *
 * insmod returns when it is done; the log has `stale-code: armed N, fifty calls missed M`.
 */
#include <linux/cpumask.h>
#include <linux/ftrace.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/workqueue.h>

static ulong arms = 1000;
module_param(arms, ulong, 0444);

/* With a call site, and called as any function is. */
#define called	__attribute__((__noipa__)) noinline

static ulong calls, hits, missed;

called void stale_always(int *p)
{
	volatile int value = 0;

	*p = value;
}

called void stale_sometimes(int *p)
{
	volatile int value = 1;

	*p = value;
}

static void notrace hit(unsigned long ip, unsigned long parent_ip,
			struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	/* The other function only keeps ftrace's hook in use. */
	if (ip - (unsigned long)stale_sometimes < 32)
		WRITE_ONCE(hits, hits + 1);
}

static struct ftrace_ops ops = { .func = hit };

static int call_for_ever(void *unused)
{
	int value, i;

	while (!kthread_should_stop()) {
		for (i = 0; i < 100; i++) {
			stale_always(&value);
			stale_sometimes(&value);
			WRITE_ONCE(calls, calls + 1);
		}
		cond_resched();
	}
	return 0;
}

static void synchronize(void *unused)
{
}

static long arm_again_and_again(void *unused)
{
	unsigned long address = (unsigned long)stale_sometimes;
	unsigned long called_before, hits_before, i;
	int ret = 0;

	for (i = 0; !ret && i < arms; i++) {
		ret = ftrace_set_filter_ip(&ops, address, 0, 0);
		if (ret)
			break;
		/* Who takes the interrupt returns from it by rfid, which synchronises (Power ISA 3.1, Book III). */
		on_each_cpu(synchronize, NULL, 1);
		called_before = READ_ONCE(calls);
		hits_before = READ_ONCE(hits);
		while (READ_ONCE(calls) < called_before + 50)
			cond_resched();
		if (READ_ONCE(hits) == hits_before)
			missed++;
		ret = ftrace_set_filter_ip(&ops, address, 1, 0);
		cond_resched();
	}
	return ret;
}

static int __init stale_init(void)
{
	struct task_struct *thread;
	int ret;

	ret = ftrace_set_filter_ip(&ops, (unsigned long)stale_always, 0, 1);
	if (ret)
		return ret;
	ret = register_ftrace_function(&ops);
	if (ret)
		return ret;
	thread = kthread_create_on_cpu(call_for_ever, NULL, 1, "stale/%u");
	if (IS_ERR(thread)) {
		unregister_ftrace_function(&ops);
		return PTR_ERR(thread);
	}
	wake_up_process(thread);
	ret = work_on_cpu(0, arm_again_and_again, NULL);
	kthread_stop(thread);
	unregister_ftrace_function(&ops);
	pr_info("stale-code: armed %lu, fifty calls missed %lu\n", arms, missed);
	return ret;
}

static void __exit stale_exit(void)
{
}

module_init(stale_init);
module_exit(stale_exit);
MODULE_DESCRIPTION("Whether processors execute the text that others have written");
MODULE_LICENSE("GPL");
