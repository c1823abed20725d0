// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether a task is inside code that is being left.
 *
 * Asked under suture_stop_machine(): no task runs but the stoppers, and those wait in
 * this file. So each task has been switched out, and what it will return to is in its
 * memory. No lock is taken; everything is read. A task may also look at itself, for
 * what it will return to does not change meanwhile.
 *
 * A task is unwound, from the frame in which it was switched out to the one that the
 * entry code made. Only what a frame will return to counts, so a word that an earlier
 * call left behind, or that a process has planted, does not. Where function_graph or a
 * kretprobe has put itself in place of a return address, the address that it keeps
 * takes its place again. An exception in kernel code (in practice a page fault, in which
 * a task may sleep) counts with the instruction that it interrupted and with the link
 * register: a function that calls nobody has its return address only there.
 *
 * Where unwinding ends before that, the rest of the stack is searched word by word. The
 * look then errs on one side only: a word that may be a return address into the code
 * counts as one. Without preemption a task is never switched out but in a call or an
 * exception, so only words that follow a call count, and the registers of exceptions
 * whole. With preemption all words count; but then a task that unwinding is lost in is
 * one that was interrupted, and about to run on. The user's registers never count, they
 * lie behind the end.
 *
 * Who is not looked at, and need not be:
 * - the stoppers, which run this. They are in their loop and in this file.
 * - dead tasks, which never run again, and such dying ones as are in no list (dying.c):
 *   they never get new functions.
 * - the idle tasks of CPUs that are off, which do not get any there either (redirect.c).
 */
#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/ftrace.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/stop_machine.h>

#include "bound.h"
#include "suture-arch.h"
#include "suture.h"

/* None of the architectures here has it, and it would be read in another way. */
#ifdef CONFIG_RETHOOK
#error return addresses that rethook keeps are not looked at
#endif

/* What is said of a task whose stack cannot be read: it may be anywhere. */
static const struct suture_code unreadable = { .name = "?" };

/* What unwinding says that did not come to the end. */
static const struct suture_code lost;

/* The look at one task. */
struct look {
	struct task_struct *task;
	const struct suture_codes *codes;
	/* What has a lower address on the stack does not count. */
	unsigned long from;
	/* Up to here the frames are known for certain. */
	unsigned long unwound_to;
	/* The return addresses kept elsewhere that have not come up yet. */
	int graph;
	struct llist_node *kretprobe;
};

/* In how many exceptions, one in the other, a task is followed. */
#define MOST_EXCEPTIONS	3

/* ---- code ---- */

/**
 * suture_mark_pages() - notes where codes are, so that most addresses need not be looked up
 * @codes:	complete
 */
void suture_mark_pages(struct suture_codes *codes)
{
	unsigned int i;

	bitmap_zero(codes->pages, SUTURE_PAGES);
	for (i = 0; i < codes->count; i++) {
		const struct suture_code *code = &codes->codes[i];
		unsigned long page;

		/* By its end and not by its last byte: an empty one has none. */
		for (page = code->start / SUTURE_PAGE;
		     page < DIV_ROUND_UP(code->end, SUTURE_PAGE); page++)
			__set_bit(page % SUTURE_PAGES, codes->pages);
	}
}

/* The code that holds the instruction at @pc, or that a return address leads to. */
static const struct suture_code *code_at(const struct suture_codes *codes,
					 unsigned long pc)
{
	unsigned int low = 0, high = codes->count;

	pc = arch_code_address(pc);
	if (!test_bit(pc / SUTURE_PAGE % SUTURE_PAGES, codes->pages))
		return NULL;
	while (low < high) {
		unsigned int middle = low + (high - low) / 2;

		if (codes->codes[middle].end <= pc)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < codes->count && codes->codes[low].start <= pc)
		return &codes->codes[low];
	return NULL;
}

/* The code that goes on at @pc after a call: not at its entry, which follows none. */
static const struct suture_code *code_after_call(const struct suture_codes *codes,
						 unsigned long pc)
{
	const struct suture_code *code = code_at(codes, pc);

	return code && code->start != arch_code_address(pc) ? code : NULL;
}

/* ---- return addresses that are not on the stack ---- */

/* Inline: if this were traced itself, it would be one of those. */
static __always_inline void first_kept(struct look *look)
{
	look->graph = -1;
	look->kretprobe = NULL;
#ifdef CONFIG_FUNCTION_GRAPH_TRACER
	if (look->task->ret_stack)
		look->graph = look->task->curr_ret_stack;
#endif
#ifdef CONFIG_KRETPROBES
	look->kretprobe = look->task->kretprobe_instances.first;
#endif
}

static unsigned long next_graph(struct look *look)
{
#ifdef CONFIG_FUNCTION_GRAPH_TRACER
	return look->task->ret_stack[look->graph--].ret;
#else
	return 0;
#endif
}

static unsigned long next_kretprobe(struct look *look)
{
#ifdef CONFIG_KRETPROBES
	struct kretprobe_instance *instance =
		llist_entry(look->kretprobe, struct kretprobe_instance, llist);

	look->kretprobe = look->kretprobe->next;
	return (unsigned long)instance->ret_addr;
#else
	return 0;
#endif
}

static bool is_graph_return(const struct look *look, unsigned long pc)
{
#ifdef CONFIG_FUNCTION_GRAPH_TRACER
	return look->graph >= 0 && pc == (unsigned long)return_to_handler;
#else
	return false;
#endif
}

static bool is_kretprobe_return(const struct look *look, unsigned long pc)
{
#ifdef CONFIG_KRETPROBES
	return look->kretprobe && pc == (unsigned long)__kretprobe_trampoline;
#else
	return false;
#endif
}

/* Where a return to @pc leads; either may have found the other there. */
static unsigned long returns_to(struct look *look, unsigned long pc)
{
	for (;;) {
		if (is_graph_return(look, pc))
			pc = next_graph(look);
		else if (is_kretprobe_return(look, pc))
			pc = next_kretprobe(look);
		else
			return pc;
	}
}

/*
 * Those that no frame has led to. Where the @frames are certain, all of them seen, those
 * of kretprobes are stale: the kernel uses them in this order, one for each return that
 * was found, and what is called later has newer ones. On ppc64le function_graph leaves
 * such behind, when it puts itself over a kretprobe's return.
 */
static const struct suture_code *search_kept(struct look *look, bool frames)
{
	const struct suture_code *code = NULL;

	if (frames && look->graph < 0)
		return NULL;
	while (!code && (look->graph >= 0 || look->kretprobe))
		code = code_at(look->codes, look->graph >= 0 ?
			       next_graph(look) : next_kretprobe(look));
	return code;
}

/* ---- unwinding ---- */

/*
 * The caller's frame in place of @frame; code if @frame is inside some, &lost if the
 * caller's cannot be told.
 */
static const struct suture_code *pass_call(struct look *look, struct arch_frame *frame)
{
	unsigned long pc = arch_frame_pc(frame);
	const struct suture_code *code = NULL;

	if (arch_pc_is_return(frame)) {
		pc = returns_to(look, pc);
		if (arch_frame_sp(frame) >= look->from)
			code = code_after_call(look->codes, pc);
		if (!code && !arch_follows_call(pc))
			code = &lost;
	}
	if (!code && !arch_next_frame(look->task, frame, pc))
		code = &lost;
	return code;
}

static const struct suture_code *follow(struct look *look, struct arch_frame *frame,
					unsigned int exceptions);

/*
 * From the frame of an exception on. What was interrupted has made its own frame or
 * has not: what is found on either way counts, and one of them leads to the end.
 */
static const struct suture_code *follow_exception(struct look *look,
						  struct arch_frame *frame,
						  unsigned int exceptions)
{
	bool counts = arch_frame_sp(frame) >= look->from;
	const struct suture_code *code = NULL, *without = &lost;
	struct arch_frame caller;
	struct look other;
	unsigned long pc, lr;

	/* With preemption, an interrupt leaves a task anywhere, also in a prologue. */
	if ((IS_ENABLED(CONFIG_PREEMPTION) && !arch_is_fault(frame)) || !exceptions ||
	    !arch_interrupted_frame(look->task, frame, &pc, &lr))
		return &lost;

	if (counts)
		code = code_at(look->codes, pc);
	if (!code && counts && arch_follows_call(lr))
		code = code_after_call(look->codes, lr);
	if (code)
		return code;

	other = *look;
	if (arch_caller_without_frame(frame, &caller))
		without = follow(&other, &caller, exceptions - 1);
	if (without && without != &lost)
		return without;
	code = follow(look, frame, exceptions - 1);
	return code == &lost ? without : code;
}

/*
 * Follows the frames to the last one. The code found, NULL if there is none, &lost. Not
 * every return address is certain where an exception has interrupted a function.
 */
static const struct suture_code *follow(struct look *look, struct arch_frame *frame,
					unsigned int exceptions)
{
	const struct suture_code *code = NULL;

	while (!code && !arch_is_last_frame(look->task, frame)) {
		if (exceptions == MOST_EXCEPTIONS)
			look->unwound_to = arch_frame_sp(frame);
		if (arch_is_exception(frame))
			return follow_exception(look, frame, exceptions);
		code = pass_call(look, frame);
	}
	return code ?: search_kept(look, exceptions == MOST_EXCEPTIONS);
}

/* ---- where unwinding does not get ---- */

static const struct suture_code *search_word(const struct look *look,
					     const unsigned long *word,
					     unsigned long end)
{
	unsigned long address = READ_ONCE_NOCHECK(*word), pc, lr;
	const struct suture_code *code;

	if (IS_ENABLED(CONFIG_PREEMPTION))
		return code_at(look->codes, address);

	code = code_after_call(look->codes, address);
	if (code && arch_follows_call(address))
		return code;
	if (arch_looks_like_regs(word, end, &pc, &lr))
		return code_at(look->codes, pc) ?: code_after_call(look->codes, lr);
	return NULL;
}

static const struct suture_code *search_stack(struct look *look)
{
	unsigned long sp = max(look->unwound_to, look->from);
	unsigned long end = arch_stack_end(look->task);
	const struct suture_code *code = NULL;

	for (; !code && sp < end; sp += sizeof(long))
		code = search_word(look, (unsigned long *)sp, end);
	if (!code) {
		first_kept(look);
		code = search_kept(look, false);
	}
	return code;
}

/* ---- tasks ---- */

/* Under suture_stop_machine() only stoppers do. */
static bool runs(const struct task_struct *task)
{
#ifdef CONFIG_SMP
	return task->on_cpu;
#else
	return task == current;
#endif
}

/* The look from the innermost frame on. */
static const struct suture_code *look_from(struct look *look, struct arch_frame *frame)
{
	unsigned long bottom = (unsigned long)task_stack_page(look->task);
	unsigned long sp = arch_frame_sp(frame);
	const struct suture_code *code;

	if (sp < bottom || sp > arch_stack_end(look->task) ||
	    !IS_ALIGNED(sp | look->from, sizeof(long)))
		return &unreadable;

	look->unwound_to = sp;
	code = follow(look, frame, MOST_EXCEPTIONS);
	return code == &lost ? search_stack(look) : code;
}

/**
 * suture_inside() - whether a task is inside code that is being left
 * @task:	any but one that has been freed
 * @codes:	what is being left
 * @caller:	who asks, or NULL
 *
 * Under suture_stop_machine().
 *
 * Return: the code that it is inside or may be inside, NULL if it is outside for
 * certain. If its stack cannot be read, some code that is none of @codes.
 */
const struct suture_code *suture_inside(struct task_struct *task,
					const struct suture_codes *codes,
					const struct suture_caller *caller)
{
	struct look look = { .task = task, .codes = codes };
	void *bottom = task_stack_page(task);
	struct arch_frame frame;

	/* A dead task never runs again, and has given its stack back or is about to. */
	if (!bottom || runs(task) || READ_ONCE(task->__state) == TASK_DEAD)
		return NULL;

	if (caller && caller->task == task)
		look.from = caller->sp;
	first_kept(&look);
	arch_first_frame(task, &frame);
	return look_from(&look, &frame);
}

/**
 * suture_inside_itself() - whether current is inside code that is being left
 * @codes:	what is being left
 * @from:	what has a lower address on the stack does not count
 *
 * In a task's own context, and anywhere.
 *
 * Return: as suture_inside().
 */
const struct suture_code *suture_inside_itself(const struct suture_codes *codes,
					       unsigned long from)
{
	struct look look = { .task = current, .codes = codes, .from = from };
	struct arch_frame frame;

	first_kept(&look);
	arch_own_frame(&frame);
	return look_from(&look, &frame);
}

/**
 * suture_each_task() - goes through all tasks that the kernel can list
 * @look:	called for all threads and the idle tasks of CPUs that are on, until it
 *		returns something other than 0. Not for one that is just being taken off:
 *		suture_each_unlisted() has it.
 * @data:	for @look
 *
 * Under suture_stop_machine().
 *
 * Return: what @look returned last, 0 if there was no task.
 */
int suture_each_task(int (*look)(struct task_struct *task, void *data), void *data)
{
	struct task_struct *process, *task;
	int cpu, ret = 0;

	for_each_process_thread(process, task) {
		if (!pid_alive(task))
			continue;
		ret = look(task, data);
		if (ret)
			return ret;
	}
	for_each_online_cpu(cpu) {
		ret = look(idle_task(cpu), data);
		if (ret)
			return ret;
	}
	return 0;
}

/* ---- stopping the machine ---- */

struct stop {
	int (*work)(void *data);
	void *data;
	atomic_t arrived;
	bool done;
};

/* Called on every CPU; who comes last does the work. */
static int work_or_wait(void *data)
{
	struct stop *stop = data;
	int ret;

	if (atomic_inc_return(&stop->arrived) == num_online_cpus()) {
		ret = stop->work(stop->data);
		smp_store_release(&stop->done, true);
		arch_synchronize();
		return ret;
	}
	while (!smp_load_acquire(&stop->done))
		cpu_relax();
	arch_synchronize();
	return 0;
}

/**
 * suture_stop_machine() - stop_machine() in which nothing runs but the work
 * @work:	called on one CPU
 * @data:	for @work
 *
 * The processors that wait in stop_machine() call functions of the kernel while they
 * do (touch_nmi_watchdog(), rcu_momentary_dyntick_idle()), which may be just those
 * that are being patched. Here they wait in a loop that calls nothing. Text that the work
 * has written is what each of them executes afterwards.
 *
 * Return: what @work returned, or an error of stop_machine().
 */
int suture_stop_machine(int (*work)(void *data), void *data)
{
	struct stop stop = { .work = work, .data = data };

	return stop_machine(work_or_wait, &stop, cpu_online_mask);
}
