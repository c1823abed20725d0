// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is patched under stress: two functions, of which one calls the other, and
 * threads that call them without end.
 *
 * Both write down which version of them was called: 0 here, another number in a patch.
 * One call must see one version. If it sees two, somebody saw half a patch: that is
 * counted as mixed.
 *
 * A thread on each CPU calls again and again and gives way between the two functions,
 * so that the machine is often stopped just there. One more sleeps there. Each is three
 * times as long outside, or a transition would find one of them inside again and again.
 *
 * /proc/suture_stress: `calls N mixed N versions N blocked N`, all of the threads;
 * reading it is a call too, by a task of user space, and `versions` says how often a
 * call saw another version than the call before on that thread.
 */
#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "stress-call.h"

static ulong block_ms = 10;
module_param(block_ms, ulong, 0444);
MODULE_PARM_DESC(block_ms, "How long the blocking thread sleeps between the two functions");

/* To be patched, so neither inlined nor copied; found by name, so not renamed. */
#define patched		__attribute__((__noipa__)) noinline

void stress_inner(struct stress_call *call);
void stress_outer(struct stress_call *call);

/* With a frame: in Thumb code ftrace rewrites the first four bytes of one without. */
patched void stress_inner(struct stress_call *call)
{
	volatile int version = 0;

	call->inner = version;
}

patched void stress_outer(struct stress_call *call)
{
	call->outer = 0;
	stress_pause(call);
	call->call_inner(call);
}

static atomic_long_t calls, mixed, changes, blocked;
static struct task_struct *threads[NR_CPUS + 1];

static void call_once(struct stress_call *call)
{
	int before = call->outer;

	stress_outer(call);
	atomic_long_inc(&calls);
	if (call->outer != call->inner)
		atomic_long_inc(&mixed);
	if (call->outer != before)
		atomic_long_inc(&changes);
	if (call->block_ms)
		atomic_long_inc(&blocked);
}

static int call_for_ever(void *block_ms)
{
	struct stress_call call = {
		.block_ms = (unsigned long)block_ms,
		.call_inner = stress_inner,
	};
	int i, pauses;

	while (!kthread_should_stop()) {
		for (i = 0; i < 16 && !kthread_should_stop(); i++) {
			call_once(&call);
			for (pauses = 0; pauses < 3; pauses++)
				stress_pause(&call);
		}
		/* A moment for the others: a guest has slow processors. */
		schedule_timeout_interruptible(1);
	}
	return 0;
}

static int show(struct seq_file *m, void *v)
{
	struct stress_call call = { .call_inner = stress_inner };

	call_once(&call);
	seq_printf(m, "calls %ld mixed %ld versions %ld blocked %ld\n",
		   atomic_long_read(&calls), atomic_long_read(&mixed),
		   atomic_long_read(&changes), atomic_long_read(&blocked));
	return 0;
}

static void stop_threads(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		if (threads[i])
			kthread_stop(threads[i]);
	}
}

static int __init target_init(void)
{
	struct task_struct *thread;
	unsigned int cpu;

	if (!proc_create_single("suture_stress", 0444, NULL, show))
		return -ENOMEM;
	for_each_online_cpu(cpu) {
		thread = kthread_create_on_cpu(call_for_ever, NULL, cpu, "stress/%u");
		if (IS_ERR(thread))
			goto fail;
		threads[cpu] = thread;
		wake_up_process(thread);
	}
	thread = kthread_run(call_for_ever, (void *)block_ms, "stress/blocks");
	if (IS_ERR(thread))
		goto fail;
	threads[NR_CPUS] = thread;
	return 0;

fail:
	stop_threads();
	remove_proc_entry("suture_stress", NULL);
	return PTR_ERR(thread);
}

static void __exit target_exit(void)
{
	remove_proc_entry("suture_stress", NULL);
	stop_threads();
}

module_init(target_init);
module_exit(target_exit);
MODULE_DESCRIPTION("Functions to be patched, and threads that call them");
MODULE_LICENSE("GPL");
