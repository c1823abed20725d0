// SPDX-License-Identifier: GPL-2.0-only
/*
 * Catching a laggard on its way out: a process that calls an old function over and
 * over is inside it whenever it is looked at, but outside each time that it returns to
 * user mode. There the kernel runs what task_work_add() has given it, in the process's
 * own context. It is also run in a few other places, so the process is not taken to be
 * outside but looked at, like any other.
 *
 * A work is memory of its own, and belongs to who took it out of the task's list: the
 * task, or suture_stop_asking(). For the way back from its function it is counted until
 * its end, and the core stays until then.
 */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/task_work.h>

#include "bound.h"
#include "suture.h"

static atomic_t works = ATOMIC_INIT(0);

static void task_returns(struct callback_head *work)
{
	kfree(work);
	suture_lock();
	suture_laggard_returns();
	suture_unlock();
	atomic_dec(&works);
}

static bool is_ours(struct callback_head *work, void *data)
{
	return work->func == task_returns;
}

/**
 * suture_ask_at_return() - has suture_laggard_returns() called when a task returns
 * @task:	to user mode; kernel threads never do
 *
 * Once. Does nothing if it is asked already, or if there is no memory.
 */
void suture_ask_at_return(struct task_struct *task)
{
	struct callback_head *work;

	if (task->flags & PF_KTHREAD)
		return;
	work = task_work_cancel_match(task, is_ours, NULL);
	if (work) {
		atomic_dec(&works);
	} else {
		work = kmalloc(sizeof(*work), GFP_KERNEL);
		if (!work)
			return;
	}
	init_task_work(work, task_returns);
	atomic_inc(&works);
	if (task_work_add(task, work, TWA_RESUME)) {
		atomic_dec(&works);
		kfree(work);
	}
}

/**
 * suture_stop_asking() - takes suture_ask_at_return() back
 * @task:	it may be at it in this moment, and will find that nobody waits for it
 */
void suture_stop_asking(struct task_struct *task)
{
	struct callback_head *work = task_work_cancel_match(task, is_ours, NULL);

	if (!work)
		return;
	atomic_dec(&works);
	kfree(work);
}

/* Until no task is in here any more; without the mutex, and nobody is asked any more. */
void suture_wait_for_returns(void)
{
	while (atomic_read(&works))
		msleep(1);
	/* The last instructions behind atomic_dec(). */
	synchronize_rcu_tasks();
}
