// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects: the kernel itself and those of its modules that a patch changes. What is
 * done to an object when it is there, and callbacks around it.
 */
#define pr_fmt(fmt) "livepatch: " fmt

#include <linux/kallsyms.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/preempt.h>
#include <linux/string.h>

#include "bound.h"
#include "suture-arch.h"
#include "suture.h"

/* ---- callbacks ---- */

int klp_pre_patch_callback(struct klp_object *obj)
{
	int ret = 0;

	if (obj->callbacks.pre_patch)
		ret = obj->callbacks.pre_patch(obj);
	obj->callbacks.post_unpatch_enabled = !ret;
	return ret;
}

void klp_post_patch_callback(struct klp_object *obj)
{
	if (obj->callbacks.post_patch)
		obj->callbacks.post_patch(obj);
}

void klp_pre_unpatch_callback(struct klp_object *obj)
{
	if (obj->callbacks.pre_unpatch)
		obj->callbacks.pre_unpatch(obj);
}

/* Once for each pre_patch that succeeded. */
void klp_post_unpatch_callback(struct klp_object *obj)
{
	if (obj->callbacks.post_unpatch_enabled && obj->callbacks.post_unpatch)
		obj->callbacks.post_unpatch(obj);
	obj->callbacks.post_unpatch_enabled = false;
}

/* ---- what is there ---- */

/*
 * A nop has what the function has that it hides: that is older, so it is known. Where
 * one address has two names and both are patched, the second stays without a site.
 */
static int init_nop(struct klp_patch *patch, struct klp_func *func)
{
	const struct klp_func *replaced = func->replaced;
	int ret;

	func->old_func = replaced->old_func;
	func->old_size = replaced->old_size;
	ret = suture_get_site(patch, func, suture_site_ip(replaced));
	return ret == -EEXIST ? 0 : ret;
}

/* Where a module has the old function, which must be the one that is meant. */
static int find_in_module(struct klp_patch *patch, struct klp_object *obj,
			  struct klp_func *func, unsigned long *address)
{
	unsigned long size;
	int ret;

	ret = suture_module_symbol(obj->mod, func->old_name, func->old_sympos,
				   address, &size);
	if (ret == -EEXIST) {
		pr_err("unresolvable ambiguity for symbol '%s' in object '%s'\n",
		       func->old_name, obj->name);
		return -EINVAL;
	}
	if (ret) {
		pr_err("symbol '%s' not found in symbol table\n", func->old_name);
		return -EINVAL;
	}
	*address = arch_code_address(*address);
	return suture_check_module_function(patch->mod, func->redirect, *address, size,
					    suture_text(obj->mod).end - *address);
}

/*
 * Whether an older patch redirects the same function at its call site and this one at its
 * entry, or the other way round: then the newer one would not be found first by everybody.
 */
static bool goes_another_way(const struct klp_func *func)
{
	struct klp_patch *other;
	struct klp_object *obj;
	struct klp_func *older;

	klp_for_each_patch(other) {
		klp_for_each_object(other, obj) {
			klp_for_each_func(obj, older) {
				if (older->site && older->old_func == func->old_func &&
				    older->site->is_entry != suture_is_entry(func))
					return true;
			}
		}
	}
	return false;
}

static int init_func(struct klp_patch *patch, struct klp_object *obj,
		     struct klp_func *func)
{
	const struct suture_redirect *redirect = func->redirect;
	unsigned long address = redirect->old_address;
	int ret;

	if (obj->name) {
		ret = find_in_module(patch, obj, func, &address);
		if (ret)
			return ret;
	}
	func->old_func = (void *)address;
	func->old_size = redirect->old_size;
	if (goes_another_way(func)) {
		suture_refuse(patch->mod, "'%s' is redirected in another way by a patch that is there: build this one with the same --way, or take that one back first",
			      func->old_name);
		return -EBUSY;
	}
	ret = suture_get_site(patch, func, address + redirect->site);
	if (ret == -EEXIST) {
		suture_refuse(patch->mod, "'%s' is patched twice in one patch",
			      func->old_name);
		ret = -EINVAL;
	}
	return ret ?: func->site->is_entry ? suture_get_branch(patch, func) : 0;
}

/**
 * klp_free_object_loaded() - forgets where an object is
 * @obj:	not patched
 */
void klp_free_object_loaded(struct klp_object *obj)
{
	struct klp_func *func;

	klp_for_each_func(obj, func) {
		suture_put_site(func);
		func->old_func = NULL;
	}
	kvfree(obj->ips);
	obj->ips = NULL;
	obj->mod = NULL;
}

/*
 * Finds the object's functions, and gets the memory that patching them takes. Then
 * relocates the patch against the object, which changes nothing that is in use.
 */
static int klp_init_object_loaded(struct klp_patch *patch,
				  struct klp_object *obj)
{
	struct klp_func *func;
	unsigned int count = 0;
	int ret;

	if (obj->mod && obj->entry &&
	    !suture_module_has_build_id(obj->mod, obj->entry->build_id,
					obj->entry->build_id_size)) {
		suture_refuse(patch->mod, "made for another build of '%s': this one does not have build id %*phN",
			      obj->name, (int)obj->entry->build_id_size,
			      obj->entry->build_id);
		return -EINVAL;
	}
	klp_for_each_func(obj, func) {
		if (func->nop)
			ret = init_nop(patch, func);
		else
			ret = init_func(patch, obj, func);
		if (ret)
			return ret;
		count++;
	}
	obj->ips = suture_out_of_memory() ? NULL :
		   kvcalloc(count + 1, sizeof(*obj->ips), GFP_KERNEL);
	if (!obj->ips)
		return -ENOMEM;
	return obj->mod && obj->entry ?
	       suture_apply_recipes(patch->mod, obj->entry, obj->mod) : 0;
}

/*
 * Finds an object's module if it is loaded. One that is just coming or going is not
 * taken: whether its notifier has been here already cannot be told. No reference is
 * taken, since suture_object_going() sees to it that nothing of it is used.
 */
static int find_object_module(struct klp_patch *patch, struct klp_object *obj)
{
	enum module_state state = MODULE_STATE_LIVE;
	struct module *mod;

	if (!obj->name)
		return 0;
	preempt_disable();
	mod = find_module(obj->name);
	if (mod)
		state = READ_ONCE(mod->state);
	preempt_enable();
	if (state != MODULE_STATE_LIVE) {
		suture_refuse(patch->mod, "'%s' is just being loaded or removed: try again when that is done",
			      obj->name);
		return -EBUSY;
	}
	obj->mod = mod;
	return 0;
}

/**
 * klp_init_object() - an object's directories, and all that patching it takes
 * @patch:	its own directory is there
 * @obj:	of the patch
 *
 * What was done is undone with the patch's objects, also after an error.
 *
 * Return: 0 or an error.
 */
int klp_init_object(struct klp_patch *patch, struct klp_object *obj)
{
	struct klp_func *func;
	int ret;

	ret = find_object_module(patch, obj);
	if (ret)
		return ret;
	ret = suture_add_object_kobject(patch, obj);
	if (ret)
		return ret;
	klp_for_each_func(obj, func) {
		ret = suture_add_func_kobject(obj, func);
		if (ret)
			return ret;
	}
	return klp_is_object_loaded(obj) ? klp_init_object_loaded(patch, obj) : 0;
}

/* ---- modules that come and go ---- */

static struct klp_object *find_object(struct klp_patch *patch,
				      const struct module *mod)
{
	struct klp_object *obj;

	klp_for_each_object(patch, obj) {
		if (obj->name && !strcmp(obj->name, mod->name))
			return obj;
	}
	return NULL;
}

/* Has one patch do to a module that comes what it is there for. */
static int apply_patch(struct klp_patch *patch, struct klp_object *obj,
		       struct module *mod)
{
	int ret;

	obj->mod = mod;
	ret = klp_init_object_loaded(patch, obj);
	if (ret) {
		pr_warn("failed to initialize patch '%s' for module '%s' (%d)\n",
			patch->mod->name, mod->name, ret);
		return ret;
	}
	pr_notice("applying patch '%s' to loading module '%s'\n",
		  patch->mod->name, mod->name);
	ret = klp_pre_patch_callback(obj);
	if (ret) {
		pr_warn("pre-patch callback failed for object '%s'\n", obj->name);
		return ret;
	}
	ret = klp_patch_object(obj);
	if (ret) {
		pr_warn("failed to apply patch '%s' to module '%s' (%d)\n",
			patch->mod->name, mod->name, ret);
		klp_post_unpatch_callback(obj);
		return ret;
	}
	if (patch != klp_transition_patch)
		klp_post_patch_callback(obj);
	return 0;
}

/* Takes back what the patches before @limit, or all, did to a module. */
static void revert_patches(struct module *mod, const struct klp_patch *limit)
{
	struct klp_patch *patch;
	struct klp_object *obj;

	klp_for_each_patch(patch) {
		if (patch == limit)
			break;
		obj = find_object(patch, mod);
		if (!obj || obj->mod != mod)
			continue;
		if (patch != klp_transition_patch)
			klp_pre_unpatch_callback(obj);
		pr_notice("reverting patch '%s' on unloading module '%s'\n",
			  patch->mod->name, mod->name);
		klp_unpatch_object(obj);
		klp_post_unpatch_callback(obj);
		klp_free_object_loaded(obj);
	}
	suture_objects_changed();
}

/**
 * suture_object_coming() - applies all patches to a module that is COMING
 * @mod:	nobody has called anything of it yet
 *
 * Return: 0, or an error with which the module is not to be loaded.
 */
int suture_object_coming(struct module *mod)
{
	struct klp_patch *patch;
	struct klp_object *obj;
	int ret;

	if (!strcmp(mod->name, "vmlinux")) {
		pr_err("vmlinux.ko: invalid module name\n");
		return -EINVAL;
	}
	klp_for_each_patch(patch) {
		obj = find_object(patch, mod);
		if (!obj)
			continue;
		ret = apply_patch(patch, obj, mod);
		if (ret) {
			pr_warn("patch '%s' failed for module '%s', refusing to load module '%s'\n",
				patch->mod->name, mod->name, mod->name);
			klp_free_object_loaded(obj);
			revert_patches(mod, patch);
			return ret;
		}
	}
	suture_objects_changed();
	return 0;
}

/**
 * suture_object_going() - lets go of a module
 * @mod:	nobody calls anything of it any more; it goes when this has returned
 *
 * Its call sites are taken from ftrace, which knows them until then.
 */
void suture_object_going(struct module *mod)
{
	revert_patches(mod, NULL);
}
