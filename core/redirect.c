// SPDX-License-Identifier: GPL-2.0-only
/*
 * Redirecting: from the site of an old function to the stub of the new one. Here: the
 * stacks, and the ftrace way, in which a site is a call of mcount; entry.c is the other.
 *
 * A site has a stack of new functions, newest first; ftrace calls the handler
 * there while the stack is not empty. One ftrace_ops is for all call sites and finds
 * them in a hash, so a call costs the same however many functions are patched. What a
 * site's stack comes to while nobody needs to be asked is kept beside it, as one word.
 *
 * All but the handler is called with suture_mutex held. The handler takes no lock:
 * ftrace calls it at any time and in any context, with preemption disabled, also
 * where RCU is not watching. So the hash and the stacks are changed and read as RCU
 * asks for, and what was taken out of them is given back when every CPU has left
 * whatever handler it was in, which is what RCU calls tasks_rude.
 *
 * That a task finds all of a patch or nothing is not for the stacks to see to, but
 * for func->transition and who is asked then (laggards.c). What an NMI calls while
 * the machine is stopped may find the one or the other, each function by itself.
 */
#define pr_fmt(fmt) "livepatch: " fmt

#include <linux/cpumask.h>
#include <linux/ftrace.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "bound.h"
#include "suture.h"

/*
 * By address, with the fewest instructions for the handler: no two call sites are within 8
 * bytes, and the bits above 8 KiB keep apart what lies at regular distances.
 */
#define SITE_CHAINS	4096
static struct hlist_head sites[SITE_CHAINS];

static __always_inline struct hlist_head *sites_like(unsigned long ip)
{
	return &sites[(ip ^ ip >> 10) / 8 % SITE_CHAINS];
}

/* A site's target where who calls must be asked; no stub has this address. */
#define ASK		1

/* ---- sites ---- */

/* The site at an address, or NULL. */
struct suture_site *suture_find_site(unsigned long ip)
{
	struct suture_site *site;

	hlist_for_each_entry(site, sites_like(ip), node) {
		if (site->ip == ip)
			return site;
	}
	return NULL;
}

/**
 * suture_get_site() - finds or makes the site of a function
 * @patch:	of the function
 * @func:	gets the site
 * @ip:		what ftrace calls the address of its old function's call site; in the entry way
 *		where the word is that becomes a branch
 *
 * Return: 0, -ENOMEM, or -EEXIST if another function of the patch has it.
 */
int suture_get_site(struct klp_patch *patch, struct klp_func *func,
		    unsigned long ip)
{
	struct suture_site *site = suture_find_site(ip);

	if (site && site->newest == patch)
		return -EEXIST;
	if (!site) {
		site = suture_out_of_memory() ? NULL :
		       kzalloc(sizeof(*site), GFP_KERNEL);
		if (!site)
			return -ENOMEM;
		site->ip = ip;
		site->is_entry = suture_is_entry(func);
		if (site->is_entry) {
			site->old_word = func->redirect->old_words[func->redirect->site / sizeof(u32)];
			site->word = site->old_word;
		}
		INIT_LIST_HEAD(&site->funcs);
		hlist_add_head_rcu(&site->node, sites_like(ip));
	}
	site->users++;
	site->newest = patch;
	func->site = site;
	return 0;
}

static void free_site(struct rcu_head *rcu)
{
	kfree(container_of(rcu, struct suture_site, rcu));
}

/**
 * suture_put_site() - gives back what suture_get_site() gave, if it did
 * @func:	in no stack
 */
void suture_put_site(struct klp_func *func)
{
	struct suture_site *site = func->site;

	func->site = NULL;
	if (!site)
		return;
	suture_put_branch(func);
	site->newest = NULL;
	if (--site->users)
		return;
	hlist_del_rcu(&site->node);
	suture_call_after_handlers(&site->rcu, free_site);
}

unsigned long suture_site_ip(const struct klp_func *func)
{
	return func->site->ip;
}

/* What is called where @func is not: an older new function, or NULL for the old one. */
const struct klp_func *suture_func_below(const struct klp_func *func)
{
	if (list_is_last(&func->stack_node, &func->site->funcs))
		return NULL;
	return list_next_entry(func, stack_node);
}

/* Where the hook resumes for a function that is no nop. */
unsigned long notrace suture_stub(const struct klp_func *func)
{
	return (unsigned long)func->redirect->stub;
}

/**
 * suture_settle_site() - keeps what the handler is to do at a site
 * @site:	whose stack, or the transition of whose functions, has changed
 *
 * After the change: a handler that still reads the word from before it asks, or does what
 * all tasks did until now.
 */
void suture_settle_site(struct suture_site *site)
{
	const struct klp_func *func =
		list_first_entry_or_null(&site->funcs, struct klp_func, stack_node);
	unsigned long target = 0;

	if (func && func->transition)
		target = ASK;
	else if (func && !func->nop)
		target = suture_stub(func);
	WRITE_ONCE(site->target, target);
}

/* ---- without ftrace there is the entry way alone ---- */

#ifndef CONFIG_DYNAMIC_FTRACE_WITH_REGS

/* table.c has refused what goes the ftrace way. */
static int arm(struct klp_object *obj, unsigned int count)
{
	return count ? -EOPNOTSUPP : 0;
}

static void disarm(struct klp_object *obj, unsigned int count)
{
}

#else

/* ---- the handler ---- */

/*
 * Whether the caller could not be seen in new code. It gets the kernel's own functions,
 * always:
 *
 * A dying task that is in no list (dying.c). What interrupts it is not the task, and is
 * seen to be done when the machine stops; but softirqs are the task itself where
 * PREEMPT_RT has them preempted.
 *
 * The idle task of a CPU that is off, which stopping the machine does not stop. It goes
 * off from do_idle() and comes back through code that starts anew, so where it changes
 * what it uses, nothing that can be patched is on its stack (never-left.c).
 */
static __always_inline bool is_unseen(void)
{
	if (current->exit_state)
		return !in_nmi() && !in_hardirq() && !suture_is_known_dying(current);
	return suture_is_idle(current) && !cpu_online(raw_smp_processor_id());
}

/* During a transition: has the hook resume at what current is to use. */
static noinline notrace void ask(struct suture_site *site,
				 struct ftrace_regs *fregs)
{
	struct klp_func *func =
		list_first_or_null_rcu(&site->funcs, struct klp_func, stack_node);

	if (!func)
		return;
	if (READ_ONCE(func->transition)) {
		/* Pairs with klp_init_transition(): the state first. */
		smp_rmb();
		if (!suture_task_is_patched(current))
			func = list_next_or_null_rcu(&site->funcs,
						     &func->stack_node,
						     struct klp_func, stack_node);
	}
	if (func && !func->nop)
		instruction_pointer_set(ftrace_get_regs(fregs), suture_stub(func));
}

static __always_inline void follow(unsigned long ip, struct ftrace_regs *fregs)
{
	struct suture_site *site;
	unsigned long target;

	hlist_for_each_entry_rcu_notrace(site, sites_like(ip), node) {
		if (site->ip != ip)
			continue;
		target = READ_ONCE(site->target);
		if (unlikely(target == ASK))
			ask(site, fregs);
		else if (target)
			instruction_pointer_set(ftrace_get_regs(fregs), target);
		return;
	}
}

/* Who may be unseen. */
static noinline notrace void redirect_if_seen(unsigned long ip,
					      struct ftrace_regs *fregs)
{
	if (!is_unseen())
		follow(ip, fregs);
}

/*
 * At the call site of a patched function: the hook resumes at the stub of the newest
 * function instead; during a transition at what the task is to use. What is rare is
 * left to others, so that this needs no frame.
 */
static void notrace redirect(unsigned long ip, unsigned long parent_ip,
			     struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	if (unlikely(current->exit_state || suture_is_idle(current)))
		redirect_if_seen(ip, fregs);
	else
		follow(ip, fregs);
}

/* ---- ftrace ---- */

/*
 * Registered while a call site is armed: PERMANENT makes ftrace refuse to be
 * switched off under a patch, and IPMODIFY keeps anybody else from redirecting the
 * same function.
 */
static struct ftrace_ops redirect_ops = {
	.func = redirect,
	.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY |
		 FTRACE_OPS_FL_PERMANENT | FTRACE_OPS_FL_RECURSION,
};
static bool registered;
static unsigned int armed_sites;

/* Names the functions that have no call site, after ftrace has refused the lot. */
static void name_missing_sites(struct klp_object *obj)
{
	static struct ftrace_ops probe = { .func = redirect };
	struct klp_func *func;

	klp_for_each_func(obj, func) {
		if (func->site && !func->site->is_entry &&
		    ftrace_set_filter_ip(&probe, func->site->ip, 0, 1) == -EINVAL)
			printk(KERN_ERR "suture: '%s': ftrace knows no call site at %#lx\n",
			       func->old_name, func->site->ip);
	}
	ftrace_set_filter_ips(&probe, NULL, 0, 0, 1);
}

/* Has ftrace call the handler at the first @count of @obj->ips. */
static int arm(struct klp_object *obj, unsigned int count)
{
	const char *name;
	int ret;

	if (!count)
		return 0;
	name = list_first_entry(&obj->func_list, struct klp_func, node)->old_name;

	/* What is not registered may still have the filter of a failed disarm. */
	ret = suture_out_of_memory() ? -ENOMEM :
	      ftrace_set_filter_ips(&redirect_ops, obj->ips, count, 0, !registered);
	if (ret) {
		pr_err("failed to set ftrace filter for function '%s' (%d)\n",
		       name, ret);
		if (ret == -EINVAL)
			name_missing_sites(obj);
		else if (ret == -EBUSY)
			printk(KERN_ERR "suture: somebody else redirects one of the functions through ftrace\n");
		return ret;
	}
	if (!registered) {
		ret = suture_out_of_memory() ? -ENOMEM :
		      register_ftrace_function(&redirect_ops);
		if (ret) {
			pr_err("failed to register ftrace handler for function '%s' (%d)\n",
			       name, ret);
			if (ret == -EBUSY)
				printk(KERN_ERR "suture: ftrace is switched off (kernel.ftrace_enabled is 0), or somebody else redirects one of the functions\n");
			ftrace_set_filter_ips(&redirect_ops, NULL, 0, 0, 1);
			return ret;
		}
		registered = true;
	}
	armed_sites += count;
	return 0;
}

/* Of the last call site: it cannot be taken out of what is registered. */
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

/* What stays armed because of an error does no harm: the handler finds nothing. */
static void disarm(struct klp_object *obj, unsigned int count)
{
	int ret;

	if (!count)
		return;
	armed_sites -= count;
	if (armed_sites)
		ret = ftrace_set_filter_ips(&redirect_ops, obj->ips, count, 1, 0);
	else
		ret = unregister();
	if (ret)
		pr_warn("call sites in '%s' stay armed: error %d\n",
			suture_object_name(obj), ret);
}

#endif /* CONFIG_DYNAMIC_FTRACE_WITH_REGS */

/* ---- stacks ---- */

/**
 * klp_patch_object() - puts an object's functions on top of their stacks
 * @obj:	loaded, with a site for each function but for nops that are not needed
 *
 * Return: 0, or an error after the reason went to the log, and nothing is changed.
 */
int klp_patch_object(struct klp_object *obj)
{
	struct klp_func *func;
	unsigned int count = 0;
	int ret;

	klp_for_each_func(obj, func) {
		if (func->site && !func->site->is_entry && list_empty(&func->site->funcs))
			obj->ips[count++] = func->site->ip;
	}
	ret = arm(obj, count);
	if (ret)
		return ret;
	klp_for_each_func(obj, func) {
		if (!func->site)
			continue;
		list_add_rcu(&func->stack_node, &func->site->funcs);
		suture_settle_site(func->site);
		func->patched = true;
	}
	obj->patched = true;
	/* Of an object that was there before nothing changes yet. */
	ret = suture_write_object(obj);
	if (ret) {
		pr_err("the entries of '%s' cannot be written (%d)\n",
		       suture_object_name(obj), ret);
		klp_unpatch_object(obj);
	}
	return ret;
}

static void unpatch_object(struct klp_object *obj, bool nops_only)
{
	struct klp_func *func;
	unsigned int count = 0;

	klp_for_each_func(obj, func) {
		if (!func->patched || (nops_only && !func->nop))
			continue;
		list_del_rcu(&func->stack_node);
		suture_settle_site(func->site);
		func->patched = false;
		if (!func->site->is_entry && list_empty(&func->site->funcs))
			obj->ips[count++] = func->site->ip;
	}
	disarm(obj, count);
	if (obj->dynamic || !nops_only)
		obj->patched = false;
}

/**
 * klp_unpatch_object() - takes an object's functions out of their stacks
 * @obj:	patched; nobody is to use its functions any more
 *
 * A handler may have found one of them a moment ago.
 */
void klp_unpatch_object(struct klp_object *obj)
{
	unpatch_object(obj, false);
}

static void unpatch_objects(struct klp_patch *patch, bool nops_only)
{
	struct klp_object *obj;

	klp_for_each_object(patch, obj) {
		if (obj->patched)
			unpatch_object(obj, nops_only);
	}
}

/* All of a patch. */
void klp_unpatch_objects(struct klp_patch *patch)
{
	unpatch_objects(patch, false);
}

/* What the core added to a patch: nops. */
void klp_unpatch_objects_dynamic(struct klp_patch *patch)
{
	unpatch_objects(patch, true);
}
