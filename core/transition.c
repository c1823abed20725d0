// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transitions: from the unpatched to the patched state or back, task by task.
 *
 * Every task uses either all functions of the patch in transition or none. With the
 * machine stopped all tasks are looked at, and those that are outside the code that
 * is left (codes.c) switch at once. The others, the laggards, keep what they use;
 * they are looked at again and again, with longer and longer breaks, and switch when they
 * are seen outside. So who sleeps in a function holds back only himself. When one returns
 * to user mode (return-to-user.c) it looks at itself, for which nobody is stopped.
 *
 * What the handler reads: func->transition says that it must ask; then all tasks are
 * in tasks_state but for the laggards, which are in the other one. Those change with
 * the machine stopped, or when no function is in transition; but whether a laggard has
 * switched is asked and told by itself alone, at any time.
 *
 * A child has an empty stack and is no laggard, whoever forked it. A dying task is a task
 * like any other, also when the kernel's list has lost it (dying.c).
 *
 * Names and log lines are those of kernel/livepatch in 6.1 where the event is the
 * same; dynamic debug finds them by these names.
 */
#define pr_fmt(fmt) "livepatch: " fmt

#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/workqueue.h>

#include "bound.h"
#include "suture.h"

/* How long to wait before the laggards are looked at again. */
#define FIRST_RETRY_MS	10
#define LAST_RETRY_MS	1000
/* Of the longest breaks, how many go by before the laggards are sent a signal. */
#define SIGNALS_TIMEOUT	15

/* The patch in transition, if any. */
struct klp_patch *klp_transition_patch;
/* Where it goes. */
static int target_state = KLP_UNDEFINED;

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

static void klp_transition_work_fn(struct work_struct *work);
static DECLARE_DELAYED_WORK(transition_work, klp_transition_work_fn);
static unsigned int retry_ms;
static unsigned int late_retries;

static const char *way_to(int state)
{
	return state == KLP_PATCHED ? "patching" : "unpatching";
}

/* ---- laggards ---- */

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

/* Sees to it that all tasks can be laggards, and some more that come meanwhile. */
static bool make_room(void)
{
	struct task_struct *process, *task;
	unsigned int count = nr_cpu_ids;

	rcu_read_lock();
	for_each_process_thread(process, task)
		count++;
	rcu_read_unlock();

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

/* All tasks to the target state, but for those that are inside. */
static int switch_tasks(void *data)
{
	struct laggards *old = laggards;
	unsigned int i;
	int ret;

	spare->count = 0;
	ret = suture_each_task(look_at, NULL);
	if (!ret)
		ret = suture_each_unlisted(look_at, NULL);
	if (ret)
		return ret;
	put_in_order(spare);
	spare->left = spare->count;
	for (i = 0; i < spare->count; i++)
		get_task_struct(spare->list[i].task);
	laggards = spare;
	tasks_state = target_state;
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
	tasks_state = target_state;
	if (laggards) {
		laggards->count = 0;
		laggards->left = 0;
	}
	return 0;
}

/* ---- the end of a transition ---- */

static void set_transition(struct klp_patch *patch, bool transition)
{
	struct klp_object *obj;
	struct klp_func *func;

	klp_for_each_object(patch, obj) {
		klp_for_each_func(obj, func)
			WRITE_ONCE(func->transition, transition);
	}
}

static void klp_complete_transition(void)
{
	struct klp_patch *patch = klp_transition_patch;
	bool replaces = patch->replace && target_state == KLP_PATCHED;
	struct klp_object *obj;

	pr_debug("'%s': completing %s transition\n", patch->mod->name,
		 way_to(target_state));

	if (replaces) {
		klp_unpatch_replaced_patches(patch);
		klp_unpatch_objects_dynamic(patch);
	}
	/* Who has found a function that is taken out must find it in transition. */
	if (target_state == KLP_UNPATCHED) {
		klp_unpatch_objects(patch);
		synchronize_rcu_tasks_rude();
	}
	set_transition(patch, false);
	/* Who has found one in transition must find the state as it is. */
	if (target_state == KLP_PATCHED)
		synchronize_rcu_tasks_rude();
	if (replaces)
		suture_free_objects(patch, true);

	kvfree(laggards);
	kvfree(spare);
	laggards = spare = NULL;
	suture_free_codes();

	klp_for_each_object(patch, obj) {
		if (!klp_is_object_loaded(obj))
			continue;
		if (target_state == KLP_PATCHED)
			klp_post_patch_callback(obj);
		else
			klp_post_unpatch_callback(obj);
	}
	pr_notice("'%s': %s complete\n", patch->mod->name, way_to(target_state));
	target_state = KLP_UNDEFINED;
	klp_transition_patch = NULL;
}

/* ---- laggards, outside the stopped machine ---- */

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

/* As mainline: who sleeps interruptibly is made to leave its system call. */
static void klp_send_signals(void)
{
	unsigned int i;

	if (late_retries == SIGNALS_TIMEOUT)
		pr_notice("signaling remaining tasks\n");
	for (i = 0; i < laggards->count; i++) {
		struct task_struct *task = laggards->list[i].task;

		if (laggards->list[i].switched)
			continue;
		if (task->flags & PF_KTHREAD)
			wake_up_state(task, TASK_INTERRUPTIBLE);
		else
			set_notify_signal(task);
	}
}

/**
 * suture_hurry_laggards() - for one who cannot go on before the transition ends
 * @mod:	on whose behalf
 *
 * Names the laggards at warning level and signals them at once.
 *
 * Return: false if nobody has been looked at yet.
 */
bool suture_hurry_laggards(const struct module *mod)
{
	unsigned int i;

	if (!laggards || tasks_state != target_state)
		return false;
	for (i = 0; i < laggards->count; i++) {
		const struct laggard *laggard = &laggards->list[i];

		if (!laggard->switched)
			printk(KERN_WARNING "suture: %s: %s:%d is inside '%s', and is signaled to leave it\n",
			       mod->name, laggard->task->comm, laggard->task->pid,
			       laggard->name);
	}
	klp_send_signals();
	return true;
}

/* Whether all tasks are in the target state. */
static bool all_switched(void)
{
	unsigned int count;

	if (tasks_state != target_state) {
		if (!make_room() || suture_stop_machine(switch_tasks, NULL))
			return false;
		if (spare) {
			put_laggards(spare, 0, spare->count);
			spare->count = 0;
		}
	} else if (laggards && laggards->count) {
		count = laggards->count;
		if (!suture_stop_machine(look_again, NULL))
			put_laggards(laggards, laggards->count, count);
	}
	return !laggards || !laggards->count;
}

static void look_later(void)
{
	unsigned int i;

	if (tasks_state == target_state) {
		for (i = 0; i < laggards->count; i++) {
			if (laggards->list[i].switched)
				continue;
			klp_try_switch_task(&laggards->list[i]);
			suture_ask_at_return(laggards->list[i].task);
		}
		if (late_retries && !(late_retries % SIGNALS_TIMEOUT))
			klp_send_signals();
	}
	mod_delayed_work(system_wq, &transition_work, msecs_to_jiffies(retry_ms));
	if (retry_ms == LAST_RETRY_MS)
		late_retries++;
	retry_ms = min(2 * retry_ms, (unsigned int)LAST_RETRY_MS);
}

/**
 * klp_try_complete_transition() - switches who can be switched
 *
 * If that were all, completes the transition; else looks again later.
 */
void klp_try_complete_transition(void)
{
	struct klp_patch *patch = klp_transition_patch;

	if (!all_switched()) {
		look_later();
		return;
	}
	klp_complete_transition();
	if (!patch->enabled)
		klp_free_patch_async(patch);
	else if (patch->replace)
		klp_free_replaced_patches_async(patch);
}

static void klp_transition_work_fn(struct work_struct *work)
{
	suture_lock();
	if (klp_transition_patch)
		klp_try_complete_transition();
	suture_unlock();
}

/**
 * suture_laggard_returns() - current switches if it is a laggard and outside
 *
 * In the laggard's own context, where no patch's callbacks are to run: if it was the
 * last, the work completes the transition.
 */
void suture_laggard_returns(void)
{
	struct laggard *laggard;

	if (!klp_transition_patch || tasks_state != target_state)
		return;
	laggard = find_laggard(current);
	if (!laggard || laggard->switched ||
	    suture_inside_itself(&suture_codes, suture_caller.sp))
		return;
	WRITE_ONCE(laggard->switched, true);
	if (!--laggards->left)
		mod_delayed_work(system_wq, &transition_work, 0);
}

/* When the core goes, and no patch is there any more. */
void suture_stop_transitions(void)
{
	cancel_delayed_work_sync(&transition_work);
}

/* ---- the way of a transition ---- */

/**
 * suture_prepare_transition() - gets the memory that a transition takes
 * @patch:	in the list
 *
 * To be followed by klp_init_transition(); given back when the transition completes.
 *
 * Return: 0 or -ENOMEM.
 */
int suture_prepare_transition(struct klp_patch *patch)
{
	if (!suture_make_codes(patch) && make_room())
		return 0;
	suture_free_codes();
	return -ENOMEM;
}

/**
 * klp_init_transition() - a transition is to come; all tasks are where they were
 * @patch:	prepared
 * @state:	where to
 */
void klp_init_transition(struct klp_patch *patch, int state)
{
	klp_transition_patch = patch;
	target_state = state;
	pr_debug("'%s': initializing %s transition\n", patch->mod->name,
		 way_to(state));

	tasks_state = !state;
	/* Pairs with the handler. */
	smp_wmb();
	set_transition(patch, true);
}

/* Has been initialized, and the objects that are loaded are patched. */
void klp_start_transition(void)
{
	pr_notice("'%s': starting %s transition\n",
		  klp_transition_patch->mod->name, way_to(target_state));
	suture_fill_codes(klp_transition_patch, target_state);
	retry_ms = FIRST_RETRY_MS;
	late_retries = 0;
}

/* A module that the patch in transition is for has come or gone. */
void suture_objects_changed(void)
{
	if (klp_transition_patch)
		suture_fill_codes(klp_transition_patch, target_state);
}

/* Instead of klp_start_transition(): nobody has switched, and nobody will. */
void klp_cancel_transition(void)
{
	pr_debug("'%s': canceling patching transition, going to unpatch\n",
		 klp_transition_patch->mod->name);
	target_state = KLP_UNPATCHED;
	klp_complete_transition();
}

/**
 * klp_reverse_transition() - back to where the transition came from
 *
 * To be followed by klp_try_complete_transition().
 */
void klp_reverse_transition(void)
{
	struct klp_patch *patch = klp_transition_patch;

	pr_debug("'%s': reversing transition from %s to %s\n", patch->mod->name,
		 way_to(target_state), way_to(!target_state));
	patch->enabled = !patch->enabled;
	target_state = !target_state;
	klp_start_transition();
}

/**
 * klp_force_transition() - the laggards switch wherever they are
 *
 * From here on a task may use old and new functions in one call. What it may be
 * inside stays in memory.
 *
 * Return: 0, or what suture_stop_machine() returns, and nothing has changed.
 */
int klp_force_transition(void)
{
	struct klp_patch *patch = klp_transition_patch, *old;
	unsigned int count = laggards ? laggards->count : 0;
	unsigned int left = laggards ? laggards->left : 0;
	bool looked = tasks_state == target_state;
	int ret;

	ret = suture_stop_machine(forget_laggards, NULL);
	if (ret)
		return ret;
	pr_warn("forcing remaining tasks to the patched state\n");
	if (looked)
		pr_warn("'%s': forced: %u tasks may be inside code that was left and mix it with what took its place\n",
			patch->mod->name, left);
	else
		pr_warn("'%s': forced: nobody has been looked at: any task may be inside code that was left and mix it with what took its place\n",
			patch->mod->name);
	if (laggards)
		put_laggards(laggards, 0, count);

	if (target_state == KLP_UNPATCHED) {
		patch->forced = true;
	} else if (patch->replace) {
		klp_for_each_patch(old) {
			if (old != patch)
				old->forced = true;
		}
	}
	klp_try_complete_transition();
	return 0;
}
