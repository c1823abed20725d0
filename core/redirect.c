// SPDX-License-Identifier: GPL-2.0-only
/*
 * Redirecting: from the call site of an old function to the stub of the new one.
 *
 * All but the handler is called with suture_mutex held. The handler takes no lock.
 * It looks for the call site in the hash of sites, at any time and in any context:
 * ftrace calls it with preemption disabled, also where RCU is not watching.
 *
 * The hash changes under stop_machine() only, all sites of a patch in one stop, so
 * tasks find the whole patch or nothing of it. A stopped machine still runs a few
 * functions: what the other CPUs call while they wait (touch_nmi_watchdog(), on
 * PowerPC a function with a call site), and what an NMI calls. For them each
 * function switches by itself. So the hash is changed and read as RCU asks for, and
 * sites are freed when every CPU has left whatever handler it was in.
 */
#define pr_fmt(fmt) "livepatch: " fmt

#include <linux/ftrace.h>
#include <linux/hashtable.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/stop_machine.h>

#include "suture.h"

/* One redirected function. */
struct suture_site {
	struct hlist_node node;
	struct klp_patch *patch;
	const char *name;	/* in the patch module */
	unsigned long ip;
	unsigned long stub;
};

static DEFINE_HASHTABLE(sites, 10);

/**
 * suture_make_sites() - copies what the handler and ftrace need out of a table
 * @patch:	gets the sites
 * @table:	checked
 *
 * Return: 0 or -ENOMEM.
 */
int suture_make_sites(struct klp_patch *patch,
		      const struct suture_patch_table *table)
{
	u32 i, j, count = 0;

	for (i = 0; i < table->object_count; i++)
		count += table->objects[i].redirect_count;
	patch->site_count = count;
	patch->sites = kvcalloc(count, sizeof(*patch->sites), GFP_KERNEL);
	patch->ips = kvcalloc(count, sizeof(*patch->ips), GFP_KERNEL);
	if (!patch->sites || !patch->ips) {
		kvfree(patch->sites);
		kvfree(patch->ips);
		return -ENOMEM;
	}
	count = 0;
	for (i = 0; i < table->object_count; i++) {
		const struct suture_object *object = &table->objects[i];

		for (j = 0; j < object->redirect_count; j++, count++) {
			const struct suture_redirect *redirect = &object->redirects[j];

			patch->ips[count] = redirect->old_address + redirect->site;
			patch->sites[count].patch = patch;
			patch->sites[count].name = redirect->old_name;
			patch->sites[count].ip = patch->ips[count];
			patch->sites[count].stub = (unsigned long)redirect->stub;
		}
	}
	return 0;
}

/**
 * suture_free_sites() - gives back what suture_make_sites() made
 * @patch:	not in force
 *
 * Sleeps until no handler can still have one of the sites in its hands: RCU's own
 * grace period would not do, since handlers run where it is not watching.
 */
void suture_free_sites(struct klp_patch *patch)
{
	synchronize_rcu_tasks_rude();
	kvfree(patch->sites);
	kvfree(patch->ips);
}

/*
 * At the call site of a patched function: the hook resumes at the stub instead.
 *
 * Not for a task past exit_notify(): it may be in no list any more, so it could not
 * be seen in new code. Its last few calls are of the old functions. What interrupts
 * it is not the task, and is seen to be done when the machine stops.
 */
static void notrace redirect(unsigned long ip, unsigned long parent_ip,
			     struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	struct suture_site *site;

	if (unlikely(current->exit_state) && in_task())
		return;

	hash_for_each_possible_rcu_notrace(sites, site, node, ip) {
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
static bool registered;
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
				    0, !registered);
	if (ret == -EINVAL)
		name_missing_sites(patch);
	else if (ret == -EBUSY)
		suture_refuse(patch->mod, "somebody else redirects one of its functions through ftrace");
	else if (ret)
		suture_refuse(patch->mod, "ftrace does not take its call sites: error %d", ret);
	if (ret)
		return ret;

	if (!registered) {
		ret = register_ftrace_function(&redirect_ops);
		if (ret == -EBUSY)
			suture_refuse(patch->mod, "ftrace is switched off (kernel.ftrace_enabled is 0), or somebody else redirects one of its functions");
		else if (ret)
			suture_refuse(patch->mod, "ftrace does not start: error %d", ret);
		if (ret) {
			ftrace_set_filter_ips(&redirect_ops, NULL, 0, 0, 1);
			return ret;
		}
		registered = true;
	}
	armed_patches++;
	return 0;
}

/* Of the last patch: the last site cannot be taken out of what is registered. */
static int unregister(void)
{
	static bool pinned;
	int ret;

	ret = unregister_ftrace_function(&redirect_ops);
	if (!ret) {
		registered = false;
		return ftrace_set_filter_ips(&redirect_ops, NULL, 0, 0, 1);
	}
	if (!pinned) {
		pr_warn("ftrace keeps calling suture, which stays for ever\n");
		__module_get(THIS_MODULE);
		pinned = true;
	}
	return ret;
}

/* A site that stays armed because of an error does no harm: its handler finds nothing. */
static void disarm(struct klp_patch *patch)
{
	int ret;

	if (--armed_patches)
		ret = ftrace_set_filter_ips(&redirect_ops, patch->ips,
					    patch->site_count, 1, 0);
	else
		ret = unregister();
	if (ret)
		pr_warn("'%s': call sites stay armed: error %d\n",
			patch->mod->name, ret);
}

static int add_sites(void *data)
{
	struct klp_patch *patch = data;
	unsigned int i;

	for (i = 0; i < patch->site_count; i++)
		hash_add_rcu(sites, &patch->sites[i].node, patch->sites[i].ip);
	return 0;
}

static int remove_sites(void *data)
{
	struct klp_patch *patch = data;
	unsigned int i;

	for (i = 0; i < patch->site_count; i++)
		hash_del_rcu(&patch->sites[i].node);
	return 0;
}

static struct suture_site *find_site(unsigned long ip)
{
	struct suture_site *site;

	hash_for_each_possible(sites, site, node, ip) {
		if (site->ip == ip)
			return site;
	}
	return NULL;
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

/**
 * suture_switch_on() - puts all functions of a patch in force, or none
 * @patch:	checked, with its sites made, and not in force
 *
 * Return: 0, or an error after the reason went to the log.
 */
int suture_switch_on(struct klp_patch *patch)
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

/**
 * suture_switch_off() - old functions from here on
 * @patch:	in force
 *
 * Whoever is inside a new function finishes there.
 *
 * Return: 0, or what stop_machine() returns, and then the patch is still in force.
 */
int suture_switch_off(struct klp_patch *patch)
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
