// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live patching for kernels that were built without it.
 *
 * Here: the life of a patch, from klp_enable_patch() until its module is let go. The
 * rest: whether a patch is for this kernel (table.c, never-left.c), its files
 * (sysfs.c), its objects (object.c), redirecting (redirect.c, entry.c, entry-words.c,
 * islands.c), which functions a task uses (transition.c, laggards.c, dying.c,
 * return-to-user.c) and whether it is inside code that is left (codes.c, stack.c), patches
 * that take the place of others (replace.c, state.c).
 *
 * Locking
 *
 * suture_mutex guards the list of patches and all that hangs on it, what ftrace is
 * told, the transition, and the writing of what the handler reads. Callbacks of
 * patches are called with it held. It is taken before anything that ftrace or
 * stop_machine() take, and never while a patch's kobject is being removed: that waits
 * for writers of its files, and they wait for the mutex. Nobody waits with it held
 * for a task to leave a function. What the handler reads without it is told in
 * redirect.c, laggards.c and dying.c.
 *
 * The way of a patch: checked -> its module pinned -> directories in sysfs, memory
 * for all that follows -> in the list -> pre_patch callbacks, call sites armed ->
 * transition: enabled -> post_patch callbacks. Back: pre_unpatch callbacks ->
 * transition -> call sites disarmed -> post_unpatch callbacks -> out of the list ->
 * directories removed -> module let go.
 */
#define pr_fmt(fmt) "livepatch: " fmt

#include <linux/delay.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/panic.h>
#include <linux/rcupdate.h>
#include <linux/sched/task_stack.h>
#include <linux/workqueue.h>

#include "bound.h"
#include "suture.h"

DEFINE_MUTEX(suture_mutex);
struct suture_caller suture_caller;
LIST_HEAD(klp_patches);

/* Out of the list of patches, and waiting to be let go. */
static LIST_HEAD(left_patches);
static void free_left_patches(struct work_struct *work);
static DECLARE_WORK(free_work, free_left_patches);

/* How often to ask whether a module that goes can go. */
#define GOING_RETRY_MS	1000

static bool is_listed(const struct klp_patch *wanted)
{
	const struct klp_patch *patch;

	klp_for_each_patch(patch) {
		if (patch == wanted)
			return true;
	}
	return false;
}

/* ---- letting go ---- */

/**
 * suture_free_objects() - gives back what a patch's objects took
 * @patch:	not patched
 * @nops_only:	what the core added to it
 */
void suture_free_objects(struct klp_patch *patch, bool nops_only)
{
	struct klp_object *obj, *next_obj;
	struct klp_func *func, *next_func;

	klp_for_each_object_safe(patch, obj, next_obj) {
		if (!nops_only || obj->dynamic)
			klp_free_object_loaded(obj);
		klp_for_each_func_safe(obj, func, next_func) {
			if (nops_only && !func->nop)
				continue;
			/* A task may go through it still. */
			if (patch->forced)
				func->island = 0;
			suture_put_site(func);
			list_del(&func->node);
			kobject_put(&func->kobj);
		}
		if (nops_only && !obj->dynamic)
			continue;
		list_del(&obj->node);
		kobject_put(&obj->kobj);
	}
}

/* The last that is done with a patch's memory; without the mutex. */
static void finish_patch(struct klp_patch *patch)
{
	struct module *mod = patch->mod;
	bool stays = patch->forced || patch->going;

	kobject_put(&patch->kobj);
	wait_for_completion(&patch->finish);
	if (!stays)
		module_put(mod);
}

static void free_left_patches(struct work_struct *work)
{
	struct klp_patch *patch, *next;
	LIST_HEAD(left);

	suture_lock();
	list_splice_init(&left_patches, &left);
	suture_unlock();

	list_for_each_entry_safe(patch, next, &left, list)
		finish_patch(patch);
}

/**
 * klp_free_patch_async() - lets a patch go
 * @patch:	listed, not patched
 *
 * Its directory and its module when the mutex is free: who asks may be writing to
 * one of its files.
 */
void klp_free_patch_async(struct klp_patch *patch)
{
	suture_free_objects(patch, false);
	list_move_tail(&patch->list, &left_patches);
	schedule_work(&free_work);
}

void klp_free_replaced_patches_async(struct klp_patch *new_patch)
{
	struct klp_patch *patch, *next;

	klp_for_each_patch_safe(patch, next) {
		if (patch == new_patch)
			return;
		klp_free_patch_async(patch);
	}
}

/* ---- enabling and disabling ---- */

/* The lists that a patch's objects and functions are in, and what they start with. */
static void init_patch_early(struct klp_patch *patch,
			     const struct suture_patch_table *table)
{
	const struct suture_object *entry = table->objects;
	struct klp_object *obj;
	struct klp_func *func;

	patch->table = table;
	patch->enabled = false;
	patch->forced = false;
	patch->going = false;
	init_completion(&patch->finish);
	INIT_LIST_HEAD(&patch->list);
	INIT_LIST_HEAD(&patch->obj_list);
	suture_init_patch_kobject(patch);

	klp_for_each_object_static(patch, obj) {
		obj->entry = entry++;
		obj->mod = NULL;
		obj->patched = false;
		obj->ips = NULL;
		INIT_LIST_HEAD(&obj->func_list);
		suture_init_object_kobject(obj);
		list_add_tail(&obj->node, &patch->obj_list);

		klp_for_each_func_static(obj, func) {
			func->redirect = suture_find_redirect(obj->entry, func);
			func->new_size = suture_symbol_size((unsigned long)func->new_func);
			func->patched = false;
			func->transition = false;
			func->site = NULL;
			func->island = 0;
			func->island_size = 0;
			suture_init_func_kobject(func);
			list_add_tail(&func->node, &obj->func_list);
		}
	}
}

/* All that can fail for want of memory, before anything is changed. */
static int init_patch(struct klp_patch *patch)
{
	struct klp_object *obj;
	int ret;

	ret = suture_add_patch_kobject(patch);
	if (ret)
		return ret;
	if (patch->replace) {
		ret = klp_add_nops(patch);
		if (ret)
			return ret;
	}
	klp_for_each_object(patch, obj) {
		ret = klp_init_object(patch, obj);
		if (ret)
			return ret;
	}
	list_add_tail(&patch->list, &klp_patches);
	return suture_prepare_transition(patch);
}

static int klp_enable_objects(struct klp_patch *patch)
{
	struct klp_object *obj;
	int ret;

	klp_for_each_object(patch, obj) {
		if (!klp_is_object_loaded(obj))
			continue;
		ret = klp_pre_patch_callback(obj);
		if (ret) {
			pr_warn("pre-patch callback failed for object '%s'\n",
				suture_object_name(obj));
			return ret;
		}
		ret = klp_patch_object(obj);
		if (ret) {
			pr_warn("failed to patch object '%s'\n",
				suture_object_name(obj));
			return ret;
		}
	}
	return 0;
}

/**
 * suture_enable_patch() - klp_enable_patch() for a module linked by Suture
 * @patch:	the patch, static in its module
 * @table:	what Suture's linker knows of it
 *
 * To be called from the module's init. On success the transition has begun, and the
 * module stays until the patch is disabled or replaced. On failure nothing is
 * changed, and the reason is in the log.
 *
 * Return: 0, or
 *   -EINVAL	  the patch was made for another kernel, is damaged, was enabled since
 *		  its module was loaded, or does not go with the states of those that
 *		  are there
 *   -EBUSY	  another patch is in transition, another user of ftrace has one of the
 *		  functions, or ftrace is switched off
 *   -EOPNOTSUPP  it asks for what the core cannot do
 *   -ENODEV	  its module is going
 *   -ENOMEM	  there is no memory
 *   or what a callback, ftrace or sysfs return
 */
int suture_enable_patch(struct klp_patch *patch,
			const struct suture_patch_table *table)
{
	struct module *mod;
	int ret;

	suture_lock();
	ret = suture_check(patch, table);
	if (ret)
		goto unlock;
	mod = patch->mod;
	ret = -EINVAL;
	if (is_listed(patch)) {
		suture_refuse(mod, "the patch is already there");
		goto unlock;
	}
	if (patch->table) {
		suture_refuse(mod, "the patch was enabled before: to enable it again, load its module anew");
		goto unlock;
	}
	if (!klp_is_patch_compatible(patch)) {
		pr_err("Livepatch patch (%s) is not compatible with the already installed livepatches.\n",
		       mod->name);
		goto unlock;
	}
	ret = -EBUSY;
	if (klp_transition_patch) {
		suture_refuse(mod, "'%s' is in transition, and one patch at a time can be",
			      klp_transition_patch->mod->name);
		goto unlock;
	}
	ret = -ENODEV;
	if (!try_module_get(mod)) {
		suture_refuse(mod, "its module is going");
		goto unlock;
	}

	init_patch_early(patch, table);
	ret = init_patch(patch);
	if (ret) {
		suture_refuse(mod, "not enabled: error %d", ret);
		goto free;
	}
	pr_notice("enabling patch '%s'\n", mod->name);
	klp_init_transition(patch, KLP_PATCHED);
	ret = klp_enable_objects(patch);
	if (ret) {
		pr_warn("failed to enable patch '%s'\n", mod->name);
		klp_cancel_transition();
		goto free;
	}
	klp_start_transition();
	patch->enabled = true;
	add_taint(TAINT_LIVEPATCH, LOCKDEP_STILL_OK);
	set_bit(TAINT_LIVEPATCH, &mod->taints);
	klp_try_complete_transition();
	suture_unlock();
	return 0;

free:
	list_del_init(&patch->list);
	suture_free_objects(patch, false);
	suture_unlock();
	finish_patch(patch);
	patch->table = NULL;
	return ret;
unlock:
	suture_unlock();
	return ret;
}
EXPORT_SYMBOL_GPL(suture_enable_patch);

/**
 * klp_disable_patch() - begins the transition back
 * @patch:	enabled
 *
 * Return: 0, -EBUSY if a patch is in transition or a kprobe is where a word is to be given
 * back, or -ENOMEM.
 */
int klp_disable_patch(struct klp_patch *patch)
{
	const struct klp_func *probed;
	struct klp_object *obj;
	int ret;

	if (klp_transition_patch)
		return -EBUSY;
	probed = suture_find_probed(patch);
	if (probed) {
		suture_refuse(patch->mod, "'%s': a kprobe on its entry (%#lx) has saved the branch that is there: remove it first",
			      probed->old_name, suture_site_ip(probed));
		return -EBUSY;
	}
	ret = suture_prepare_transition(patch);
	if (ret)
		return ret;
	klp_init_transition(patch, KLP_UNPATCHED);
	klp_for_each_object(patch, obj) {
		if (obj->patched)
			klp_pre_unpatch_callback(obj);
	}
	klp_start_transition();
	patch->enabled = false;
	klp_try_complete_transition();
	return 0;
}

/* ---- modules ---- */

/* Does what can be done, and says whether the patch is out of the list. */
static bool take_back(struct klp_patch *patch)
{
	if (!is_listed(patch))
		return true;
	if (patch != klp_transition_patch) {
		if (patch->enabled)
			klp_disable_patch(patch);
	} else {
		if (patch->enabled)
			klp_reverse_transition();
		klp_try_complete_transition();
	}
	return !is_listed(patch);
}

/*
 * A module that goes although its patch is there: init failed after it had enabled
 * it, or rmmod -f. Its memory is freed when this returns, whatever is said here, so
 * this does not return before everybody has left it. Until then no other module can come
 * or go, so those who are inside are named and signaled.
 *
 * A task whose init has failed was here before the patch was in force, and what it
 * has called since is done, but for the notifier chain, which never-left.c lets
 * nobody patch. So its stack, full of what init left behind, is not looked at.
 */
static void patch_module_going(struct module *mod)
{
	struct klp_patch *patch, *found = NULL;
	bool said = false, hurried = false;

	suture_lock();
	klp_for_each_patch(patch) {
		if (patch->mod == mod)
			found = patch;
	}
	if (found) {
		suture_refuse(mod, "its module goes while the patch is there: taken back first");
		found->going = true;
	}
	while (found) {
		/* Given back after init, unless it has failed. */
		if (mod->init_layout.base)
			suture_caller.sp = (unsigned long)task_stack_page(current) +
					   THREAD_SIZE;
		if (take_back(found))
			break;
		if (!said)
			suture_refuse(mod, "somebody is inside the patch, so its module waits, and all that load or remove modules");
		said = true;
		if (!hurried)
			hurried = suture_hurry_laggards(mod);
		suture_unlock();
		msleep(GOING_RETRY_MS);
		suture_lock();
	}
	suture_unlock();

	/* A patch that has left the list may still be on its way down. */
	flush_work(&free_work);
}

static int module_changes(struct notifier_block *block, unsigned long state,
			  void *data)
{
	struct module *mod = data;
	int ret = 0;

	switch (state) {
	case MODULE_STATE_COMING:
		suture_lock();
		ret = suture_object_coming(mod);
		suture_unlock();
		break;
	case MODULE_STATE_GOING:
		suture_lock();
		suture_object_going(mod);
		suture_unlock();
		patch_module_going(mod);
		break;
	}
	return notifier_from_errno(ret);
}

static struct notifier_block module_notifier = {
	.notifier_call = module_changes,
};

static int __init suture_init(void)
{
	int ret;

	ret = suture_check_core();
	if (ret)
		return ret;
	ret = suture_start_listing();
	if (ret)
		return ret;
	ret = suture_add_root_kobject();
	if (ret)
		goto stop_listing;
	ret = register_module_notifier(&module_notifier);
	if (ret)
		goto remove_kobject;
	return 0;

remove_kobject:
	suture_remove_root_kobject();
stop_listing:
	suture_stop_listing();
	return ret;
}

/* Each patch module uses this one, so none is left here. */
static void __exit suture_exit(void)
{
	suture_stop_transitions();
	suture_wait_for_returns();
	flush_work(&free_work);
	unregister_module_notifier(&module_notifier);
	/* Call sites that are still to be freed. */
	suture_flush_calls_after_handlers();
	suture_stop_listing();
	suture_remove_root_kobject();
	suture_free_shadows();
}

module_init(suture_init);
module_exit(suture_exit);
MODULE_DESCRIPTION("Suture: live patching for kernels built without it");
MODULE_LICENSE("GPL");
