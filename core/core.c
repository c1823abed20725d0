// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live patching for kernels that were built without it.
 *
 * Locking
 *
 * suture_mutex guards the list of patches, their state, what ftrace is told, and
 * the writing of the hash of sites. It is taken before anything that ftrace or
 * stop_machine() take, and never while a kobject is being removed: that waits for
 * writers of its files, and they wait for the mutex.
 *
 * The hash of sites is read by the ftrace handler, at any time and in any context,
 * with no lock: it changes only under stop_machine(), and ftrace calls the handler
 * with preemption disabled, so no handler is under way then. A site in the hash is
 * in force, and all sites of a patch come and go in one stop: all or nothing.
 *
 * The way of a patch: checked (table.c) -> its module pinned -> directory in sysfs
 * -> call sites armed -> sites in the hash: enabled. Back: sites out of the hash ->
 * call sites disarmed -> nobody inside its code (stack.c, asked again until it is
 * so) -> out of the list: gone -> directory removed -> module released.
 */
#define pr_fmt(fmt) "livepatch: " fmt

#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/hashtable.h>
#include <linux/kobject.h>
#include <linux/kstrtox.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/panic.h>
#include <linux/stop_machine.h>
#include <linux/sysfs.h>
#include <linux/workqueue.h>

#include "suture.h"

static DEFINE_MUTEX(suture_mutex);
static LIST_HEAD(patches);
static DEFINE_HASHTABLE(sites, 10);
static struct kobject *root;

/* How long to wait before the stacks are looked at again. */
#define FIRST_RETRY_MS	10
#define LAST_RETRY_MS	1000

static void release_left_patches(struct work_struct *work);
static DECLARE_DELAYED_WORK(release_work, release_left_patches);
static unsigned int retry_ms;

/* ---- redirecting ---- */

static struct suture_site *find_site(unsigned long ip)
{
	struct suture_site *site;

	hash_for_each_possible(sites, site, node, ip) {
		if (site->ip == ip)
			return site;
	}
	return NULL;
}

/* At the call site of a patched function: the hook resumes at the stub instead. */
static void notrace redirect(unsigned long ip, unsigned long parent_ip,
			     struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	struct suture_site *site;

	hash_for_each_possible(sites, site, node, ip) {
		if (site->ip == ip) {
			instruction_pointer_set(ftrace_get_regs(fregs), site->stub);
			return;
		}
	}
}

/*
 * One for all functions of all patches, registered while there are any: PERMANENT
 * makes ftrace refuse to be switched off under a patch, and IPMODIFY keeps anybody
 * else from redirecting the same function.
 */
static struct ftrace_ops redirect_ops = {
	.func = redirect,
	.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY |
		 FTRACE_OPS_FL_PERMANENT | FTRACE_OPS_FL_RECURSION,
};
static unsigned int armed_patches;

/* Names the functions that have no call site, after ftrace has refused the lot. */
static void name_missing_sites(const struct klp_patch *patch)
{
	static struct ftrace_ops probe = { .func = redirect };
	unsigned int i;

	for (i = 0; i < patch->site_count; i++) {
		if (ftrace_set_filter_ip(&probe, patch->ips[i], 0, 1) == -EINVAL)
			suture_refuse(patch->mod, "'%s': ftrace knows no call site at %#lx",
				      patch->sites[i].name, patch->ips[i]);
	}
	ftrace_set_filter_ips(&probe, NULL, 0, 0, 1);
}

/* Has ftrace call the handler at the patch's call sites. */
static int arm(struct klp_patch *patch)
{
	int ret;

	/* What is not registered may still have the filter of a failed disarm. */
	ret = ftrace_set_filter_ips(&redirect_ops, patch->ips, patch->site_count,
				    0, !armed_patches);
	if (ret == -EINVAL)
		name_missing_sites(patch);
	else if (ret == -EBUSY)
		suture_refuse(patch->mod, "somebody else redirects one of its functions through ftrace");
	else if (ret)
		suture_refuse(patch->mod, "ftrace does not take its call sites: error %d", ret);
	if (ret)
		return ret;

	if (!armed_patches) {
		ret = register_ftrace_function(&redirect_ops);
		if (ret == -EBUSY)
			suture_refuse(patch->mod, "ftrace is switched off (kernel.ftrace_enabled is 0), or somebody else redirects one of its functions");
		else if (ret)
			suture_refuse(patch->mod, "ftrace does not start: error %d", ret);
		if (ret) {
			ftrace_set_filter_ips(&redirect_ops, NULL, 0, 0, 1);
			return ret;
		}
	}
	armed_patches++;
	return 0;
}

/* A site that stays armed because of an error does no harm: its handler finds nothing. */
static void disarm(struct klp_patch *patch)
{
	int ret;

	if (--armed_patches) {
		ret = ftrace_set_filter_ips(&redirect_ops, patch->ips,
					    patch->site_count, 1, 0);
	} else {
		/* The last site cannot be taken out of what is registered. */
		ret = unregister_ftrace_function(&redirect_ops);
		if (!ret)
			ret = ftrace_set_filter_ips(&redirect_ops, NULL, 0, 0, 1);
	}
	if (ret)
		pr_warn("'%s': call sites stay armed: error %d\n",
			patch->mod->name, ret);
}

static int add_sites(void *data)
{
	struct klp_patch *patch = data;
	unsigned int i;

	for (i = 0; i < patch->site_count; i++)
		hash_add(sites, &patch->sites[i].node, patch->sites[i].ip);
	return 0;
}

static int remove_sites(void *data)
{
	struct klp_patch *patch = data;
	unsigned int i;

	for (i = 0; i < patch->site_count; i++)
		hash_del(&patch->sites[i].node);
	return 0;
}

/* Patches do not stack yet. */
static int check_conflicts(const struct klp_patch *patch)
{
	const struct suture_site *site, *other;
	unsigned int i, j;

	for (i = 0; i < patch->site_count; i++) {
		site = &patch->sites[i];
		other = find_site(site->ip);
		if (other) {
			suture_refuse(patch->mod, "'%s' is already patched by '%s', and patches do not stack yet",
				      site->name, other->patch->mod->name);
			return -EBUSY;
		}
		for (j = 0; j < i; j++) {
			if (patch->ips[j] == site->ip) {
				suture_refuse(patch->mod, "'%s' is patched twice in one patch",
					      site->name);
				return -EINVAL;
			}
		}
	}
	return 0;
}

/* Puts all functions of a patch in force, or none. */
static int switch_on(struct klp_patch *patch)
{
	int ret;

	ret = check_conflicts(patch);
	if (ret)
		return ret;
	ret = arm(patch);
	if (ret)
		return ret;
	pr_debug("'%s': initializing patching transition\n", patch->mod->name);
	pr_notice("'%s': starting patching transition\n", patch->mod->name);
	ret = stop_machine(add_sites, patch, NULL);
	if (ret) {
		suture_refuse(patch->mod, "the machine cannot be stopped: error %d", ret);
		disarm(patch);
		return ret;
	}
	patch->enabled = true;
	pr_debug("'%s': completing patching transition\n", patch->mod->name);
	pr_notice("'%s': patching complete\n", patch->mod->name);
	return 0;
}

/* Old functions from here on; whoever is inside a new one finishes there. */
static int switch_off(struct klp_patch *patch)
{
	int ret;

	pr_debug("'%s': initializing unpatching transition\n", patch->mod->name);
	pr_notice("'%s': starting unpatching transition\n", patch->mod->name);
	ret = stop_machine(remove_sites, patch, NULL);
	if (ret)
		return ret;
	patch->enabled = false;
	disarm(patch);
	return 0;
}

/* ---- leaving ---- */

/* Whether nobody is in a switched-off patch's code any more; if so, takes it out of the list. */
static bool try_to_leave(struct klp_patch *patch)
{
	/* An error of stop_machine() itself counts as busy too. */
	if (stop_machine(suture_somebody_inside, patch->mod, NULL))
		return false;

	pr_debug("'%s': completing unpatching transition\n", patch->mod->name);
	list_del(&patch->list);
	patch->gone = true;
	pr_notice("'%s': unpatching complete\n", patch->mod->name);
	return true;
}

/* The last that is done with a patch's memory; without the mutex. */
static void take_down(struct klp_patch *patch)
{
	kobject_put(&patch->kobj);
	wait_for_completion(&patch->finish);
	kvfree(patch->sites);
	kvfree(patch->ips);
}

static void release_left_patches(struct work_struct *work)
{
	struct klp_patch *patch, *next;
	bool busy = false;
	LIST_HEAD(left);

	mutex_lock(&suture_mutex);
	list_for_each_entry_safe(patch, next, &patches, list) {
		if (patch->enabled)
			continue;
		if (try_to_leave(patch))
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
 * A module that goes with its patch still enabled: init failed after it had enabled
 * it, or rmmod -f. Its memory is freed when this returns, whatever is said here.
 */
static int module_changes(struct notifier_block *block, unsigned long state,
			  void *data)
{
	struct klp_patch *patch, *found = NULL;

	if (state != MODULE_STATE_GOING)
		return NOTIFY_DONE;

	mutex_lock(&suture_mutex);
	list_for_each_entry(patch, &patches, list) {
		if (patch->mod == data)
			found = patch;
	}
	if (found) {
		suture_refuse(found->mod, "its module goes while the patch is there: taken back first");
		while (found->enabled && switch_off(found))
			msleep(LAST_RETRY_MS);
		while (!try_to_leave(found))
			msleep(LAST_RETRY_MS);
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
	if (patch->gone || patch->enabled == enabled) {
		ret = -EINVAL;
	} else if (enabled) {
		pr_debug("'%s': reversing transition from unpatching to patching\n",
			 patch->mod->name);
		ret = switch_on(patch);
	} else {
		ret = switch_off(patch);
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

/* Copies what the handler and ftrace need out of a checked table. */
static int make_sites(struct klp_patch *patch,
		      const struct suture_patch_table *table)
{
	u32 i, count = table->redirect_count;

	patch->site_count = count;
	patch->sites = kvcalloc(count, sizeof(*patch->sites), GFP_KERNEL);
	patch->ips = kvcalloc(count, sizeof(*patch->ips), GFP_KERNEL);
	if (!patch->sites || !patch->ips) {
		kvfree(patch->sites);
		kvfree(patch->ips);
		return -ENOMEM;
	}
	for (i = 0; i < count; i++) {
		const struct suture_redirect *redirect = &table->redirects[i];

		patch->ips[i] = redirect->ip;
		patch->sites[i].patch = patch;
		patch->sites[i].name = redirect->old_name;
		patch->sites[i].ip = redirect->ip;
		patch->sites[i].stub = (unsigned long)redirect->stub;
	}
	return 0;
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
	ret = make_sites(patch, table);
	if (ret) {
		suture_refuse(mod, "no memory for %u functions", table->redirect_count);
		goto unlock;
	}
	if (!try_module_get(mod)) {
		suture_refuse(mod, "its module is going");
		ret = -ENODEV;
		goto free;
	}

	patch->enabled = false;
	patch->gone = false;
	init_completion(&patch->finish);
	ret = kobject_init_and_add(&patch->kobj, &patch_type, root, "%s", mod->name);
	if (ret) {
		suture_refuse(mod, "no directory in /sys/kernel/livepatch: error %d", ret);
		goto put;
	}
	pr_notice("enabling patch '%s'\n", mod->name);
	ret = switch_on(patch);
	if (ret) {
		pr_warn("failed to enable patch '%s'\n", mod->name);
		goto put;
	}
	add_taint(TAINT_LIVEPATCH, LOCKDEP_STILL_OK);
	list_add_tail(&patch->list, &patches);
	mutex_unlock(&suture_mutex);
	return 0;

put:
	patch->gone = true;
	mutex_unlock(&suture_mutex);
	take_down(patch);
	module_put(mod);
	return ret;
free:
	kvfree(patch->sites);
	kvfree(patch->ips);
unlock:
	mutex_unlock(&suture_mutex);
	return ret;
}
EXPORT_SYMBOL_GPL(suture_enable_patch);

static int __init suture_init(void)
{
	int ret;

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
}

module_init(suture_init);
module_exit(suture_exit);
MODULE_DESCRIPTION("Suture: live patching for kernels built without it");
MODULE_LICENSE("GPL");
