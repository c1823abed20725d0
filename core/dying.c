// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tasks that are dying. In do_exit() a task is taken off the kernel's list of tasks, by
 * itself or by its parent, and goes on calling functions, in which it may sleep. So that
 * it can be looked at like any other, the core has a list of its own of the tasks that
 * are between two tracepoints: sched_process_exit, which a task passes while it is still
 * on the kernel's list, and sched_process_free, up to which its task_struct is there.
 *
 * The rule for dying tasks. Who is in this list follows the rule that all follow: it is
 * looked at, and while it is inside code that is left it keeps what it uses. Who is past
 * exit_notify() and not in this list gets the kernel's own functions, all of them, until
 * it is dead (redirect.c). That is who was dying before the core was loaded, and so has
 * never used new functions; and who died when there was no memory, which the log says.
 * So no module's code is freed below a dying task, whatever happens, and none sees half
 * a patch unless memory runs out.
 *
 * A kernel without tracepoints that does not preempt itself needs no list: behind
 * exit_notify() do_exit() calls nothing that sleeps (kernel/exit.c, Linux 6.1), so whoever has
 * been taken off runs until it is dead, and no stopped machine finds it in between.
 *
 * Locking. What changes the list takes a raw spinlock, for tracepoints disable
 * preemption. With the machine stopped nobody holds it. The handler and those who look
 * take none: entries are freed when RCU's readers are done, and a task that dies is in
 * the kernel, where RCU is watching.
 *
 * Entries come from a stock, one for each task that there was when it was filled, and
 * some more. A crowd that came since and dies at once has used it up before more are
 * made; each then asks for memory itself. In a tracepoint a kernel with PREEMPT_RT cannot
 * give any: there such a crowd is out of memory.
 */
#define pr_fmt(fmt) "suture: " fmt

#include <linux/cpumask.h>
#include <linux/errno.h>
#include <linux/hashtable.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <linux/workqueue.h>

#include "suture.h"

struct dying {
	struct hlist_node node;
	struct task_struct *task;
	struct rcu_head rcu;
};

/* By task. */
static DEFINE_HASHTABLE(dying_tasks, 8);

/* Entries with a task, in dying_tasks. */
static unsigned int listed;

/* Entries without a task, how many there are, and below how many more are made. */
static HLIST_HEAD(stock);
static unsigned int stocked, low_stock;

/* How many tasks may die before more entries are made. */
#define STOCK_MARGIN	32

static DEFINE_RAW_SPINLOCK(dying_lock);

static void fill_stock(struct work_struct *work);
static DECLARE_WORK(stock_work, fill_stock);

/* One entry more. False if there is no memory. */
static bool add_to_stock(gfp_t gfp)
{
	struct dying *entry = kmalloc(sizeof(*entry), gfp);
	unsigned long flags;

	if (!entry)
		return false;
	raw_spin_lock_irqsave(&dying_lock, flags);
	hlist_add_head(&entry->node, &stock);
	stocked++;
	raw_spin_unlock_irqrestore(&dying_lock, flags);
	return true;
}

/**
 * suture_count_tasks() - how many tasks there are, the dying ones included
 *
 * Return: their number, or more: a dying task that is on the kernel's list still is
 * counted twice.
 */
unsigned int suture_count_tasks(void)
{
	struct task_struct *process, *task;
	unsigned int count = READ_ONCE(listed);

	rcu_read_lock();
	for_each_process_thread(process, task)
		count++;
	rcu_read_unlock();
	return count;
}

/* As many as there are tasks: all of them can die before the next filling. */
static void fill_stock(struct work_struct *work)
{
	unsigned int count = suture_count_tasks() + STOCK_MARGIN;

	WRITE_ONCE(low_stock, count);
	while (READ_ONCE(stocked) < count + STOCK_MARGIN) {
		if (!add_to_stock(GFP_KERNEL))
			return;
	}
}

/* The list's entry for a task, or NULL. */
static struct dying notrace *find(const struct task_struct *task)
{
	struct dying *entry;

	hash_for_each_possible_rcu_notrace(dying_tasks, entry, node, (unsigned long)task) {
		if (entry->task == task)
			return entry;
	}
	return NULL;
}

/**
 * suture_is_known_dying() - whether a task is in the list
 * @task:	current, past exit_notify()
 *
 * For the handler.
 */
bool notrace suture_is_known_dying(const struct task_struct *task)
{
	return find(task);
}

/* With the lock. Whether the task is in the list now. */
static bool add(struct task_struct *task)
{
	struct dying *entry;

	if (find(task))
		return true;
	if (!stocked)
		return false;
	entry = hlist_entry(stock.first, struct dying, node);
	hlist_del(&entry->node);
	stocked--;
	entry->task = task;
	hash_add_rcu(dying_tasks, &entry->node, (unsigned long)task);
	WRITE_ONCE(listed, listed + 1);
	return true;
}

static void task_exits(void *data, struct task_struct *task)
{
	unsigned long flags;
	bool added;

	/* One for whoever may be at this on another processor. */
	if (!IS_ENABLED(CONFIG_PREEMPT_RT) && READ_ONCE(stocked) < nr_cpu_ids)
		add_to_stock(GFP_NOWAIT | __GFP_NOWARN);
	raw_spin_lock_irqsave(&dying_lock, flags);
	added = add(task);
	raw_spin_unlock_irqrestore(&dying_lock, flags);

	if (!added)
		pr_warn_once("no memory for tasks that die: they use the kernel's own functions from there on\n");
	if (READ_ONCE(stocked) < READ_ONCE(low_stock))
		schedule_work(&stock_work);
}

static void task_is_freed(void *data, struct task_struct *task)
{
	struct dying *entry;
	unsigned long flags;

	raw_spin_lock_irqsave(&dying_lock, flags);
	entry = find(task);
	if (entry) {
		hash_del_rcu(&entry->node);
		WRITE_ONCE(listed, listed - 1);
	}
	raw_spin_unlock_irqrestore(&dying_lock, flags);

	if (entry)
		kfree_rcu(entry, rcu);
}

/**
 * suture_each_unlisted() - goes through the dying tasks that the kernel's list has lost
 * @look:	called for each, until it returns something other than 0
 * @data:	for @look
 *
 * With the machine stopped.
 *
 * Return: what @look returned last, 0 if there was no task.
 */
int suture_each_unlisted(int (*look)(struct task_struct *task, void *data),
			 void *data)
{
	struct dying *entry;
	int bucket, ret;

	hash_for_each(dying_tasks, bucket, entry, node) {
		if (pid_alive(entry->task))
			continue;
		ret = look(entry->task, data);
		if (ret)
			return ret;
	}
	return 0;
}

/* ---- the beginning and the end ---- */

static const bool needs_no_list = !IS_ENABLED(CONFIG_TRACEPOINTS) &&
				  !IS_ENABLED(CONFIG_PREEMPTION);

static struct tracepoint *exit_point, *free_point;

static void find_point(struct tracepoint *point, void *data)
{
	if (!strcmp(point->name, "sched_process_exit"))
		exit_point = point;
	else if (!strcmp(point->name, "sched_process_free"))
		free_point = point;
}

/* Who may have passed the tracepoint already, and is on the kernel's list still. */
static int add_dying(void *data)
{
	struct task_struct *process, *task;

	for_each_process_thread(process, task) {
		if ((task->flags & PF_EXITING) && pid_alive(task) &&
		    READ_ONCE(task->__state) != TASK_DEAD)
			add(task);
	}
	return 0;
}

static void forget_all(void)
{
	struct hlist_node *next;
	struct dying *entry;
	int bucket;

	tracepoint_synchronize_unregister();
	cancel_work_sync(&stock_work);
	hash_for_each_safe(dying_tasks, bucket, next, entry, node)
		kfree(entry);
	hlist_for_each_entry_safe(entry, next, &stock, node)
		kfree(entry);
}

/**
 * suture_start_listing() - lists the tasks that die from now on
 *
 * Return: 0 or an error.
 */
int suture_start_listing(void)
{
	int ret;

	if (needs_no_list)
		return 0;
	for_each_kernel_tracepoint(find_point, NULL);
	if (!exit_point || !free_point) {
		pr_err("this kernel lacks the tracepoints sched_process_exit and sched_process_free\n");
		return -EOPNOTSUPP;
	}
	fill_stock(NULL);
	ret = tracepoint_probe_register(free_point, task_is_freed, NULL);
	if (ret)
		goto forget;
	ret = tracepoint_probe_register(exit_point, task_exits, NULL);
	if (ret)
		goto free;
	ret = suture_stop_machine(add_dying, NULL);
	if (ret)
		goto exit;
	return 0;

exit:
	tracepoint_probe_unregister(exit_point, task_exits, NULL);
free:
	tracepoint_probe_unregister(free_point, task_is_freed, NULL);
forget:
	forget_all();
	return ret;
}

/* No function is redirected any more. */
void suture_stop_listing(void)
{
	if (needs_no_list)
		return;
	tracepoint_probe_unregister(exit_point, task_exits, NULL);
	tracepoint_probe_unregister(free_point, task_is_freed, NULL);
	forget_all();
}
