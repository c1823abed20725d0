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
 * Three kinds of tasks are not looked at, and cannot be inside a patch:
 * - idle tasks, which are in no list that a module can reach. Switched out, they are
 *   in schedule_idle(); table.c refuses what is on their stacks then.
 * - the stopper that runs on each CPU, with stale words saved for it and this very
 *   look on its stack. table.c refuses that too; what else a stopper calls while it
 *   waits it has left before the next stop, and the patch was switched off in an
 *   earlier one.
 * - dying tasks, which leave the list before they leave their stack. Past
 *   exit_notify() they get old functions only (redirect.c), and table.c refuses what
 *   is on their stacks then.
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

/* All else is switched out. Without SMP nothing runs but who asked, and no stopper. */
static bool runs_stopper(const struct task_struct *task)
{
#ifdef CONFIG_SMP
	return task->on_cpu;
#else
	return false;
#endif
}

static bool stack_holds(const struct suture_look *look, struct task_struct *task,
			const struct suture_range *text)
{
	unsigned long bottom = (unsigned long)task_stack_page(task);
	unsigned long top = bottom + THREAD_SIZE;
	unsigned long sp;

	/* A dead task has given its stack back already. */
	if (!bottom)
		return false;

	if (task == look->caller)
		sp = look->caller_sp;
	else if (runs_stopper(task))
		return false;
	else
		sp = arch_saved_sp(task);

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

/* None of the architectures here has it, and it would be read in another way. */
#ifdef CONFIG_RETHOOK
#error return addresses that rethook keeps are not looked at
#endif

static bool kretprobes_hold(struct task_struct *task,
			    const struct suture_range *text)
{
#ifdef CONFIG_KRETPROBES
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
 * @data:	struct suture_look: the module whose code must be left
 *
 * Return: 1 if a task is inside or may be, else 0.
 */
int suture_somebody_inside(void *data)
{
	const struct suture_look *look = data;
	struct suture_range text = suture_text(look->mod);
	struct task_struct *process, *task;

	for_each_process_thread(process, task) {
		if (stack_holds(look, task, &text) || graph_holds(task, &text) ||
		    kretprobes_hold(task, &text)) {
			pr_debug("suture: %s:%d is inside\n", task->comm,
				 task->pid);
			return 1;
		}
	}
	return 0;
}
