// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live patching for kernels that were built without it.
 *
 * Here: the life of a patch, klp_enable_patch() and sysfs. The rest: whether a patch
 * is for this kernel (table.c), redirecting through ftrace (redirect.c), whether
 * anybody is inside a patch (stack.c).
 *
 * Locking
 *
 * suture_mutex guards the list of patches, their state, what ftrace is told, and
 * the writing of the hash of sites. It is taken before anything that ftrace or
 * stop_machine() take, and never while a kobject is being removed: that waits for
 * writers of its files, and they wait for the mutex. Nobody waits with it held for
 * a task to leave a patch. How the hash is read without it is told in redirect.c.
 *
 * The way of a patch: checked -> its module pinned -> directory in sysfs -> call
 * sites armed -> sites in the hash: enabled. Back: sites out of the hash -> call
 * sites disarmed -> nobody inside its code (asked again until it is so) -> out of
 * the list -> directory removed -> module released. Once a patch is "going", only
 * who made it so goes on with it.
 */
#define pr_fmt(fmt) "livepatch: " fmt

#include <linux/delay.h>
#include <linux/kobject.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/panic.h>
#include <linux/sched/task_stack.h>
#include <linux/stop_machine.h>
#include <linux/sysfs.h>
#include <linux/workqueue.h>

#include "bound.h"
#include "suture.h"

static DEFINE_MUTEX(suture_mutex);
static LIST_HEAD(patches);
static struct kobject *root;

/* How long to wait before the stacks are looked at again. */
#define FIRST_RETRY_MS	10
#define LAST_RETRY_MS	1000

static void release_left_patches(struct work_struct *work);
static DECLARE_DELAYED_WORK(release_work, release_left_patches);
static unsigned int retry_ms;

/* ---- leaving ---- */

/*
 * Whether nobody is in a switched-off patch's code any more; if so, takes it out of
 * the list. Of the caller's own stack only what lies above @caller_sp can be inside;
 * below it are the core's own calls, with what they left behind.
 */
static bool try_to_leave(struct klp_patch *patch, unsigned long caller_sp)
{
	struct suture_look look = {
		.mod = patch->mod,
		.caller = current,
		.caller_sp = caller_sp,
	};

	/* An error of stop_machine() itself counts as busy too. */
	if (stop_machine(suture_somebody_inside, &look, NULL))
		return false;

	pr_debug("'%s': completing unpatching transition\n", patch->mod->name);
	list_del(&patch->list);
	patch->going = true;
	pr_notice("'%s': unpatching complete\n", patch->mod->name);
	return true;
}

/* The last that is done with a patch's memory; without the mutex. */
static void take_down(struct klp_patch *patch)
{
	suture_free_sites(patch);
	kobject_put(&patch->kobj);
	wait_for_completion(&patch->finish);
}

static void release_left_patches(struct work_struct *work)
{
	unsigned long sp = (unsigned long)__builtin_frame_address(0);
	struct klp_patch *patch, *next;
	bool busy = false;
	LIST_HEAD(left);

	mutex_lock(&suture_mutex);
	list_for_each_entry_safe(patch, next, &patches, list) {
		if (patch->enabled || patch->going)
			continue;
		if (try_to_leave(patch, sp))
			list_add(&patch->list, &left);
		else
			busy = true;
	}
	if (busy) {
		schedule_delayed_work(&release_work, msecs_to_jiffies(retry_ms));
		retry_ms = min(2 * retry_ms, (unsigned int)LAST_RETRY_MS);
	}
	mutex_unlock(&suture_mutex);

	list_for_each_entry_safe(patch, next, &left, list) {
		struct module *mod = patch->mod;

		take_down(patch);
		module_put(mod);
	}
}

/*
 * A module that goes although its patch is there: init failed after it had enabled
 * it, or rmmod -f. Its memory is freed when this returns, whatever is said here, so
 * this does not return before everybody has left it.
 *
 * A task whose init has failed was here before the patch was in force, and what it
 * has called since is done, but for the notifier chain, which table.c lets nobody
 * patch. So its stack, full of what init left behind, is not looked at.
 */
static int module_changes(struct notifier_block *block, unsigned long state,
			  void *data)
{
	unsigned long sp = (unsigned long)__builtin_frame_address(0);
	struct klp_patch *patch, *found = NULL;
	struct module *mod = data;
	bool said = false;

	if (state != MODULE_STATE_GOING)
		return NOTIFY_DONE;
	/* Given back after init, unless it has failed. */
	if (mod->init_layout.base)
		sp = (unsigned long)task_stack_page(current) + THREAD_SIZE;

	mutex_lock(&suture_mutex);
	list_for_each_entry(patch, &patches, list) {
		if (patch->mod == mod)
			found = patch;
	}
	if (found) {
		suture_refuse(mod, "its module goes while the patch is there: taken back first");
		found->going = true;
		while ((found->enabled && suture_switch_off(found)) ||
		       !try_to_leave(found, sp)) {
			mutex_unlock(&suture_mutex);
			if (!said)
				suture_refuse(mod, "somebody is inside the patch, so its module waits");
			said = true;
			msleep(LAST_RETRY_MS);
			mutex_lock(&suture_mutex);
		}
	}
	mutex_unlock(&suture_mutex);

	if (found)
		take_down(found);
	/* A patch that has just left the list may still be on its way down. */
	flush_work(&release_work.work);
	return NOTIFY_DONE;
}

static struct notifier_block module_notifier = {
	.notifier_call = module_changes,
};

/* ---- /sys/kernel/livepatch/<patch>/ ---- */

static ssize_t enabled_show(struct kobject *kobj, struct kobj_attribute *attr,
			    char *buf)
{
	struct klp_patch *patch = container_of(kobj, struct klp_patch, kobj);

	return sysfs_emit(buf, "%d\n", patch->enabled);
}

/*
 * As in mainline: 0 takes the patch back, and when nobody is inside it the directory
 * goes and the module can be removed. Until then, 1 reverses that.
 */
static ssize_t enabled_store(struct kobject *kobj, struct kobj_attribute *attr,
			     const char *buf, size_t count)
{
	struct klp_patch *patch = container_of(kobj, struct klp_patch, kobj);
	bool enabled;
	int ret;

	ret = kstrtobool(buf, &enabled);
	if (ret)
		return ret;

	mutex_lock(&suture_mutex);
	if (patch->going || patch->enabled == enabled) {
		ret = -EINVAL;
	} else if (enabled) {
		pr_debug("'%s': reversing transition from unpatching to patching\n",
			 patch->mod->name);
		ret = suture_switch_on(patch);
	} else {
		ret = suture_switch_off(patch);
		retry_ms = FIRST_RETRY_MS;
		mod_delayed_work(system_wq, &release_work, 0);
	}
	mutex_unlock(&suture_mutex);

	return ret ? ret : count;
}

/* 1 while the patch is taken back and somebody is still inside it. */
static ssize_t transition_show(struct kobject *kobj,
			       struct kobj_attribute *attr, char *buf)
{
	struct klp_patch *patch = container_of(kobj, struct klp_patch, kobj);

	return sysfs_emit(buf, "%d\n", !patch->enabled);
}

static struct kobj_attribute enabled_attribute = __ATTR_RW(enabled);
static struct kobj_attribute transition_attribute = __ATTR_RO(transition);
static struct attribute *patch_attrs[] = {
	&enabled_attribute.attr,
	&transition_attribute.attr,
	NULL
};
ATTRIBUTE_GROUPS(patch);

static void release_patch(struct kobject *kobj)
{
	complete(&container_of(kobj, struct klp_patch, kobj)->finish);
}

static struct kobj_type patch_type = {
	.release = release_patch,
	.sysfs_ops = &kobj_sysfs_ops,
	.default_groups = patch_groups,
};

/* ---- enabling ---- */

static bool is_listed(const struct klp_patch *wanted)
{
	const struct klp_patch *patch;

	list_for_each_entry(patch, &patches, list) {
		if (patch == wanted)
			return true;
	}
	return false;
}

/**
 * suture_enable_patch() - klp_enable_patch() for a module linked by Suture
 * @patch:	the patch, static in its module
 * @table:	what Suture's linker knows of it
 *
 * To be called from the module's init. On success all functions of the patch are
 * redirected, and the module stays until the patch is disabled. On failure nothing
 * is changed, and the reason is in the log.
 *
 * Return: 0, or
 *   -EINVAL	  the patch was made for another kernel, or is damaged
 *   -EBUSY	  another patch or user of ftrace has one of the functions, or
 *		  ftrace is switched off
 *   -EOPNOTSUPP  it asks for what the core cannot do
 *   -ENODEV	  its module is going
 *   -ENOMEM	  there is no memory
 *   or what ftrace, sysfs or stop_machine() return
 */
int suture_enable_patch(struct klp_patch *patch,
			const struct suture_patch_table *table)
{
	struct module *mod;
	int ret;

	mutex_lock(&suture_mutex);
	ret = suture_check(patch, table);
	if (ret)
		goto unlock;
	mod = patch->mod;
	if (is_listed(patch)) {
		suture_refuse(mod, "the patch is already there");
		ret = -EINVAL;
		goto unlock;
	}
	ret = suture_make_sites(patch, table);
	if (ret) {
		suture_refuse(mod, "no memory for its functions");
		goto unlock;
	}
	if (!try_module_get(mod)) {
		suture_refuse(mod, "its module is going");
		ret = -ENODEV;
		goto free;
	}

	patch->enabled = false;
	patch->going = false;
	init_completion(&patch->finish);
	ret = kobject_init_and_add(&patch->kobj, &patch_type, root, "%s", mod->name);
	if (ret) {
		suture_refuse(mod, "no directory in /sys/kernel/livepatch: error %d", ret);
		goto put;
	}
	pr_notice("enabling patch '%s'\n", mod->name);
	ret = suture_switch_on(patch);
	if (ret) {
		pr_warn("failed to enable patch '%s'\n", mod->name);
		goto put;
	}
	add_taint(TAINT_LIVEPATCH, LOCKDEP_STILL_OK);
	list_add_tail(&patch->list, &patches);
	mutex_unlock(&suture_mutex);
	return 0;

put:
	patch->going = true;
	mutex_unlock(&suture_mutex);
	take_down(patch);
	module_put(mod);
	return ret;
free:
	suture_free_sites(patch);
unlock:
	mutex_unlock(&suture_mutex);
	return ret;
}
EXPORT_SYMBOL_GPL(suture_enable_patch);

static int __init suture_init(void)
{
	int ret;

	ret = suture_check_core();
	if (ret)
		return ret;
	root = kobject_create_and_add("livepatch", kernel_kobj);
	if (!root)
		return -ENOMEM;
	ret = register_module_notifier(&module_notifier);
	if (ret)
		kobject_put(root);
	return ret;
}

/* Each patch module uses this one, so none is left here. */
static void __exit suture_exit(void)
{
	cancel_delayed_work_sync(&release_work);
	unregister_module_notifier(&module_notifier);
	kobject_put(root);
	suture_free_shadows();
}

module_init(suture_init);
module_exit(suture_exit);
MODULE_DESCRIPTION("Suture: live patching for kernels built without it");
MODULE_LICENSE("GPL");
