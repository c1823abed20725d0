// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether anybody is inside a module's code.
 *
 * To be asked under stop_machine(): no task runs, each has been switched out, and
 * what it will return to is in its memory. Three places are looked at, in all
 * threads: the words of the kernel stack above the saved stack pointer, and the
 * return addresses that function_graph and kretprobes keep elsewhere.
 *
 * The look errs on one side only. A word that is left over from an earlier call,
 * or that a process has planted, counts as being inside; unwinding, which tells
 * them apart, and the per-task consistency built on it come later. A new patch
 * does not ask at all yet: it switches whoever is inside an old function, who
 * finishes that call in the old code.
 *
 * Two kinds of tasks are not looked at. Idle tasks are in no list that a module can
 * reach; switched out, they are in schedule_idle(). And on each CPU the stopper runs,
 * with stale words saved for it and this very look on its stack. Neither can be
 * inside a patch, because table.c refuses to patch what is always on their stacks.
 */
#include <linux/ftrace.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>

#include "suture-arch.h"
#include "suture.h"

static bool inside(const struct suture_range *text, unsigned long address)
{
	return address >= text->start && address < text->end;
}

static bool stack_holds(struct task_struct *task,
			const struct suture_range *text)
{
	unsigned long bottom = (unsigned long)task_stack_page(task);
	unsigned long top = bottom + THREAD_SIZE;
	unsigned long sp = arch_saved_sp(task);

	/* A dead task has given its stack back already. */
	if (!bottom)
		return false;

	/* The stopper of a CPU: all else is switched out. */
	if (task->on_cpu)
		return false;

	if (sp < bottom || sp > top || !IS_ALIGNED(sp, sizeof(long)))
		return true;

	for (; sp < top; sp += sizeof(long)) {
		if (inside(text, READ_ONCE_NOCHECK(*(unsigned long *)sp)))
			return true;
	}
	return false;
}

static bool graph_holds(struct task_struct *task,
			const struct suture_range *text)
{
#ifdef CONFIG_FUNCTION_GRAPH_TRACER
	int i;

	for (i = 0; task->ret_stack && i <= task->curr_ret_stack; i++) {
		if (inside(text, task->ret_stack[i].ret))
			return true;
	}
#endif
	return false;
}

static bool kretprobes_hold(struct task_struct *task,
			    const struct suture_range *text)
{
#if defined(CONFIG_KRETPROBES) && !defined(CONFIG_KRETPROBE_ON_RETHOOK)
	struct kretprobe_instance *instance;

	llist_for_each_entry(instance, task->kretprobe_instances.first, llist) {
		if (inside(text, (unsigned long)instance->ret_addr))
			return true;
	}
#endif
	return false;
}

/**
 * suture_somebody_inside() - looks at every task, under stop_machine()
 * @data:	the struct module whose code must be left. Not the range itself: on the
 *		stack of the caller, its start would be found.
 *
 * Return: 1 if a task is inside or may be, else 0.
 */
int suture_somebody_inside(void *data)
{
	struct suture_range text = suture_text(data);
	struct task_struct *process, *task;

	for_each_process_thread(process, task) {
		if (stack_holds(task, &text) || graph_holds(task, &text) ||
		    kretprobes_hold(task, &text)) {
			pr_debug("suture: %s:%d is inside\n", task->comm,
				 task->pid);
			return 1;
		}
	}
	return 0;
}
