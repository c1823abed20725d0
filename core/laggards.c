// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which functions each task uses while a patch is in transition.
 *
 * Every task uses either all functions of the patch or none. With the machine stopped all
 * tasks are looked at, and those that are outside the code that is left (codes.c) switch
 * at once. The others, the laggards, keep what they use; they are looked at again when
 * transition.c asks for it, and switch when they are seen outside. So who sleeps in a
 * function holds back only himself. When one returns to user mode (return-to-user.c) it
 * looks at itself, for which nobody is stopped.
 *
 * A patch with functions that are redirected at their entries has no laggards, for there is
 * no handler to ask (entry.c): as long as anybody is inside, nobody switches. Who was inside at
 * the last look is kept in the spare list, to be told and reminded like laggards.
 *
 * What the handler reads where func->transition says that it must ask: all tasks are in
 * tasks_state but for the laggards, which are in the other one. Those change with the
 * machine stopped, or when no function is in transition; but whether a laggard has
 * switched is asked and told by itself alone, at any time.
 *
 * A child has an empty stack and is no laggard, whoever forked it. A dying task is a task
 * like any other, also when the kernel's list has lost it (dying.c).
 */
#define pr_fmt(fmt) "livepatch: " fmt

#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "bound.h"
#include "suture.h"

struct laggard {
	struct task_struct *task;	/* with a reference */
	const char *name;		/* of the code that it is inside */
	bool switched;			/* is none any more: by itself */
};

/* Sorted by task. */
struct laggards {
	unsigned int count;
	unsigned int left;		/* that have not switched */
	unsigned int room;
	struct laggard list[];
};

/* What the handler reads. */
static int tasks_state = KLP_UNPATCHED;
static struct laggards *laggards;

/* To be filled with the machine stopped, and to take the place of the other then. */
static struct laggards *spare;

static struct laggard notrace *find_laggard(const struct task_struct *task)
{
	struct laggards *all = READ_ONCE(laggards);
	unsigned int first = 0, end = all ? READ_ONCE(all->count) : 0;

	while (first < end) {
		unsigned int middle = (first + end) / 2;
		const struct task_struct *found = READ_ONCE(all->list[middle].task);

		if (found == task)
			return &all->list[middle];
		if (found < task)
			first = middle + 1;
		else
			end = middle;
	}
	return NULL;
}

static bool notrace is_laggard(const struct task_struct *task)
{
	const struct laggard *found = find_laggard(task);

	return found && !READ_ONCE(found->switched);
}

/**
 * suture_task_is_patched() - whether a task uses the patch in transition
 * @task:	current
 *
 * For the handler, where func->transition is set.
 */
bool notrace suture_task_is_patched(const struct task_struct *task)
{
	return (READ_ONCE(tasks_state) == KLP_PATCHED) != is_laggard(task);
}

static int by_task(const void *a, const void *b)
{
	const struct laggard *one = a, *other = b;

	return one->task < other->task ? -1 : one->task > other->task;
}

static void put_in_order(struct laggards *all)
{
	sort(all->list, all->count, sizeof(*all->list), by_task, NULL);
}

/* Gives back the references of those from @first on, as many as there were. */
static void put_laggards(struct laggards *all, unsigned int first,
			 unsigned int count)
{
	for (; first < count; first++) {
		suture_stop_asking(all->list[first].task);
		put_task_struct(all->list[first].task);
	}
}

/**
 * suture_make_room() - gets memory for as many laggards as there are tasks, and some more
 *
 * Return: false if there is none.
 */
bool suture_make_room(void)
{
	unsigned int count = nr_cpu_ids + suture_count_tasks();

	count += count / 4 + 64;
	if (spare && spare->room >= count)
		return true;
	kvfree(spare);
	spare = suture_out_of_memory() ? NULL :
		kvmalloc(struct_size(spare, list, count), GFP_KERNEL);
	if (!spare)
		return false;
	spare->count = 0;
	spare->room = count;
	return true;
}

/* ---- with the machine stopped ---- */

static const struct suture_code *inside(struct task_struct *task)
{
	return suture_inside(task, &suture_codes, &suture_caller);
}

static int look_at(struct task_struct *task, void *data)
{
	const struct suture_code *code;

	/* Already there, on the way back of a transition that is reversed. */
	if (is_laggard(task))
		return 0;
	code = inside(task);
	if (!code)
		return 0;
	if (spare->count == spare->room)
		return -EAGAIN;
	spare->list[spare->count++] = (struct laggard){ task, code->name, false };
	return 0;
}

/*
 * All tasks to the other state, but for those that are inside; all or nobody if @data says
 * that the patch is strict.
 */
static int switch_tasks(void *data)
{
	struct laggards *old = laggards;
	const bool *strict = data;
	unsigned int i;
	int ret;

	spare->count = 0;
	ret = suture_each_task(look_at, NULL);
	if (!ret)
		ret = suture_each_unlisted(look_at, NULL);
	if (ret) {
		/* There was no room for one; no task has its reference yet. */
		spare->count = 0;
		return ret;
	}
	put_in_order(spare);
	spare->left = spare->count;
	for (i = 0; i < spare->count; i++)
		get_task_struct(spare->list[i].task);
	if (*strict && spare->count)
		return -EAGAIN;
	ret = suture_write_entries();
	if (ret)
		return ret;
	tasks_state = !tasks_state;
	laggards = spare;
	spare = old;
	return 0;
}

/* The laggards that are outside now go behind the others, out of the count. */
static int look_again(void *data)
{
	unsigned int i = 0, count = laggards->count;
	const struct suture_code *code;

	while (i < count) {
		struct laggard *laggard = &laggards->list[i];

		code = laggard->switched ? NULL : inside(laggard->task);
		if (code) {
			laggard->name = code->name;
			i++;
		} else {
			count--;
			swap(*laggard, laggards->list[count]);
		}
	}
	laggards->count = count;
	laggards->left = count;
	put_in_order(laggards);
	return 0;
}

static int forget_laggards(void *data)
{
	const int *state = data;
	int ret = suture_write_entries();

	if (ret)
		return ret;
	tasks_state = *state;
	if (laggards) {
		laggards->count = 0;
		laggards->left = 0;
	}
	return 0;
}

/* ---- outside the stopped machine ---- */

/**
 * suture_tasks_are_in() - no function is in transition yet, and this is where all are
 * @state:	KLP_PATCHED or KLP_UNPATCHED
 */
void suture_tasks_are_in(int state)
{
	tasks_state = state;
}

/* Whether the tasks have been looked at on the way to a state. */
bool suture_are_looked_at(int state)
{
	return tasks_state == state;
}

unsigned int suture_laggards_left(void)
{
	return laggards ? laggards->left : 0;
}

static void empty_spare(void)
{
	if (!spare)
		return;
	put_laggards(spare, 0, spare->count);
	spare->count = 0;
}

/* Who has not switched: laggards, or those who keep all others from switching; or NULL. */
static struct laggards *held_back(void)
{
	return laggards && laggards->count ? laggards : spare;
}

/**
 * suture_switch_tasks() - switches who is outside
 * @state:	where to
 * @strict:	the patch in transition if all must switch at once; else NULL
 *
 * Return: whether that were all.
 */
bool suture_switch_tasks(int state, struct klp_patch *strict)
{
	bool is_strict = strict;
	unsigned int count;
	int ret;

	if (tasks_state != state) {
		empty_spare();
		if (!suture_make_room() || suture_prepare_entries(strict, state))
			return false;
		ret = suture_stop_machine(switch_tasks, &is_strict);
		suture_finish_entries(!ret);
		if (ret)
			return false;
		empty_spare();
	} else if (laggards && laggards->count) {
		count = laggards->count;
		if (!suture_stop_machine(look_again, NULL))
			put_laggards(laggards, laggards->count, count);
	}
	return !laggards || !laggards->count;
}

/**
 * suture_switch_itself() - current switches if it is a laggard and outside
 * @state:	where to
 *
 * Return: whether it was the last.
 */
bool suture_switch_itself(int state)
{
	struct laggard *laggard = find_laggard(current);

	if (tasks_state != state || !laggard || laggard->switched ||
	    suture_inside_itself(&suture_codes, suture_caller.sp))
		return false;
	WRITE_ONCE(laggard->switched, true);
	return !--laggards->left;
}

/**
 * suture_force_tasks() - all tasks switch, wherever they are
 * @state:	where to
 * @strict:	as for suture_switch_tasks()
 *
 * Return: 0, or an error of suture_prepare_entries() or suture_stop_machine(), and nothing
 * has changed.
 */
int suture_force_tasks(int state, struct klp_patch *strict)
{
	unsigned int count = laggards ? laggards->count : 0;
	int ret = suture_prepare_entries(strict, state);

	if (ret)
		return ret;
	ret = suture_stop_machine(forget_laggards, &state);
	suture_finish_entries(!ret);
	if (!ret && laggards)
		put_laggards(laggards, 0, count);
	return ret;
}

/* No function is in transition any more. */
void suture_free_laggards(void)
{
	empty_spare();
	kvfree(laggards);
	kvfree(spare);
	laggards = spare = NULL;
}

/* ---- telling the laggards, and telling of them ---- */

/*
 * Tells who has not switched. It has this name because dynamic debug is told of it
 * by name: `func klp_try_switch_task`.
 */
static void klp_try_switch_task(const struct laggard *laggard)
{
	const struct task_struct *task = laggard->task;

	if (strcmp(laggard->name, "?"))
		pr_debug("%s: %s:%d is sleeping on function %s\n", __func__,
			 task->comm, task->pid, laggard->name);
	else
		pr_debug("%s: %s:%d has an unreliable stack\n", __func__,
			 task->comm, task->pid);
}

/* Tells who they are, and has them look at themselves when they return to user mode. */
void suture_remind_laggards(void)
{
	struct laggards *all = held_back();
	unsigned int i;

	for (i = 0; all && i < all->count; i++) {
		if (all->list[i].switched)
			continue;
		klp_try_switch_task(&all->list[i]);
		suture_ask_at_return(all->list[i].task);
	}
}

/* As mainline: who sleeps interruptibly is made to leave its system call. */
void klp_send_signals(void)
{
	struct laggards *all = held_back();
	unsigned int i;

	for (i = 0; all && i < all->count; i++) {
		struct task_struct *task = all->list[i].task;

		if (all->list[i].switched)
			continue;
		if (task->flags & PF_KTHREAD)
			wake_up_state(task, TASK_INTERRUPTIBLE);
		else
			set_notify_signal(task);
	}
}

/**
 * suture_name_laggards() - for one who cannot go on before the transition ends
 * @mod:	on whose behalf
 * @state:	where they are to go
 *
 * Names the laggards at warning level and signals them at once.
 *
 * Return: false if nobody has been looked at yet.
 */
bool suture_name_laggards(const struct module *mod, int state)
{
	struct laggards *all = held_back();
	unsigned int i;

	if (!all || (tasks_state != state && !all->count))
		return false;
	for (i = 0; i < all->count; i++) {
		const struct laggard *laggard = &all->list[i];

		if (!laggard->switched)
			printk(KERN_WARNING "suture: %s: %s:%d is inside '%s', and is signaled to leave it\n",
			       mod->name, laggard->task->comm, laggard->task->pid,
			       laggard->name);
	}
	klp_send_signals();
	return true;
}
