// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transitions: from the unpatched to the patched state or back, task by task
 * (laggards.c). Until all have switched those that have not are looked at again and again,
 * with longer and longer breaks.
 *
 * Names and log lines are those of kernel/livepatch in 6.1 where the event is the
 * same; dynamic debug finds them by these names.
 */
#define pr_fmt(fmt) "livepatch: " fmt

#include <linux/jiffies.h>
#include <linux/workqueue.h>

#include "suture.h"

/* How long to wait before the laggards are looked at again. */
#define FIRST_RETRY_MS	10
#define LAST_RETRY_MS	1000
/* If all must switch at once: how soon after a look another one is worth it for who returns. */
#define RETURN_RETRY_MS	100
/* Of the longest breaks, how many go by before the laggards are sent a signal. */
#define SIGNALS_TIMEOUT	15

/* The patch in transition, if any. */
struct klp_patch *klp_transition_patch;
/* Where it goes. */
static int target_state = KLP_UNDEFINED;

static void klp_transition_work_fn(struct work_struct *work);
static DECLARE_DELAYED_WORK(transition_work, klp_transition_work_fn);
static unsigned int retry_ms;
static unsigned int late_retries;
static unsigned long last_look;		/* in jiffies */
static bool somebody_returned;

static const char *way_to(int state)
{
	return state == KLP_PATCHED ? "patching" : "unpatching";
}

/* ---- the end of a transition ---- */

static void set_transition(struct klp_patch *patch, bool transition)
{
	struct klp_object *obj;
	struct klp_func *func;

	klp_for_each_object(patch, obj) {
		klp_for_each_func(obj, func) {
			WRITE_ONCE(func->transition, transition);
			if (func->site)
				suture_settle_site(func->site);
		}
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
		suture_wait_for_handlers();
	}
	set_transition(patch, false);
	/* Who has found one in transition must find the state as it is. */
	if (target_state == KLP_PATCHED)
		suture_wait_for_handlers();
	if (replaces)
		suture_free_objects(patch, true);

	suture_free_laggards();
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

/* ---- while it lasts ---- */

/* The patch in transition if all tasks must switch at once. */
static struct klp_patch *strict_patch(void)
{
	return suture_is_strict(klp_transition_patch) ? klp_transition_patch : NULL;
}

/* Of a patch whose entries cannot be written now. */
static void tell_of_probe(void)
{
	const struct klp_func *probed = suture_find_probed(klp_transition_patch);

	if (probed)
		pr_notice_once("'%s': waits for the kprobe on the entry of '%s' to be removed\n",
			       klp_transition_patch->mod->name, probed->old_name);
}

static void look_later(void)
{
	bool early = somebody_returned;

	last_look = jiffies;
	somebody_returned = false;
	tell_of_probe();
	if (suture_are_looked_at(target_state) || strict_patch()) {
		suture_remind_laggards();
		if (!early && late_retries == SIGNALS_TIMEOUT)
			pr_notice("signaling remaining tasks\n");
		if (!early && late_retries && !(late_retries % SIGNALS_TIMEOUT))
			klp_send_signals();
	}
	mod_delayed_work(system_wq, &transition_work, msecs_to_jiffies(retry_ms));
	/* A look in between is none of the breaks. */
	if (early)
		return;
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

	if (!suture_switch_tasks(target_state, strict_patch())) {
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
 * suture_laggard_returns() - current may be a laggard, and about to leave the kernel
 *
 * No patch's callbacks are to run in its context: if it was the last, the work completes
 * the transition.
 */
void suture_laggard_returns(void)
{
	if (!klp_transition_patch)
		return;
	if (!strict_patch()) {
		if (suture_switch_itself(target_state))
			mod_delayed_work(system_wq, &transition_work, 0);
	} else if (time_after(jiffies, last_look + msecs_to_jiffies(RETURN_RETRY_MS))) {
		/* It is outside now, and may be inside again in a moment. */
		somebody_returned = true;
		mod_delayed_work(system_wq, &transition_work, 0);
	}
}

/**
 * suture_hurry_laggards() - for one who cannot go on before the transition ends
 * @mod:	on whose behalf
 *
 * Return: false if nobody has been looked at yet.
 */
bool suture_hurry_laggards(const struct module *mod)
{
	return suture_name_laggards(mod, target_state);
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
	if (!suture_make_codes(patch) && suture_make_room())
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

	suture_tasks_are_in(!state);
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
	somebody_returned = false;
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
 * Return: 0, or what suture_force_tasks() returns, and nothing has changed.
 */
int klp_force_transition(void)
{
	struct klp_patch *patch = klp_transition_patch, *old;
	bool looked = suture_are_looked_at(target_state);
	unsigned int left = suture_laggards_left();
	int ret;

	ret = suture_force_tasks(target_state, strict_patch());
	if (ret)
		return ret;
	pr_warn("forcing remaining tasks to the patched state\n");
	if (looked)
		pr_warn("'%s': forced: %u tasks may be inside code that was left and mix it with what took its place\n",
			patch->mod->name, left);
	else
		pr_warn("'%s': forced: nobody has been looked at: any task may be inside code that was left and mix it with what took its place\n",
			patch->mod->name);

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
