// SPDX-License-Identifier: GPL-2.0-only
/*
 * Atomic replace: a patch with .replace takes the place of all patches before it.
 *
 * What those patch and the new one does not, goes back to the old function. For that
 * the core adds nops to the new patch: they lie on top of their stacks and lead to the
 * old function. So the transition is that of any patch. When it is complete, the
 * replaced patches' functions are taken out from below, then the nops.
 */
#define pr_fmt(fmt) "livepatch: " fmt

#include <linux/slab.h>
#include <linux/string.h>

#include "suture.h"

static bool same_name(const char *one, const char *other)
{
	return !one || !other ? one == other : !strcmp(one, other);
}

/* The only function of its name is the first one. */
static bool same_func(const struct klp_func *one, const struct klp_func *other)
{
	return !strcmp(one->old_name, other->old_name) &&
	       (one->old_sympos ?: 1) == (other->old_sympos ?: 1);
}

static struct klp_object *find_object(struct klp_patch *patch, const char *name)
{
	struct klp_object *obj;

	klp_for_each_object(patch, obj) {
		if (same_name(obj->name, name))
			return obj;
	}
	return NULL;
}

static bool has_func(struct klp_object *obj, const struct klp_func *wanted)
{
	struct klp_func *func;

	klp_for_each_func(obj, func) {
		if (same_func(func, wanted))
			return true;
	}
	return false;
}

/* The last that is done with an object of the core's; from its kobject. */
void suture_free_dynamic_object(struct klp_object *obj)
{
	kfree(obj->name);
	kfree(obj);
}

/* The last that is done with a nop; from its kobject. */
void suture_free_nop(struct klp_func *func)
{
	kfree(func->old_name);
	kfree(func);
}

static struct klp_object *make_object(struct klp_patch *patch, const char *name)
{
	struct klp_object *obj = suture_out_of_memory() ? NULL :
				 kzalloc(sizeof(*obj), GFP_KERNEL);

	if (!obj)
		return NULL;
	if (name) {
		obj->name = suture_out_of_memory() ? NULL :
			    kstrdup(name, GFP_KERNEL);
		if (!obj->name) {
			kfree(obj);
			return NULL;
		}
	}
	obj->dynamic = true;
	INIT_LIST_HEAD(&obj->func_list);
	suture_init_object_kobject(obj);
	list_add_tail(&obj->node, &patch->obj_list);
	return obj;
}

static int make_nop(struct klp_object *obj, const struct klp_func *replaced)
{
	struct klp_func *func = suture_out_of_memory() ? NULL :
				kzalloc(sizeof(*func), GFP_KERNEL);

	if (!func)
		return -ENOMEM;
	func->old_name = suture_out_of_memory() ? NULL :
			 kstrdup(replaced->old_name, GFP_KERNEL);
	if (!func->old_name) {
		kfree(func);
		return -ENOMEM;
	}
	func->old_sympos = replaced->old_sympos;
	func->nop = true;
	func->replaced = replaced;
	suture_init_func_kobject(func);
	list_add_tail(&func->node, &obj->func_list);
	return 0;
}

/**
 * klp_add_nops() - adds what takes the replaced patches back
 * @patch:	its own objects and functions are in their lists, it is in none
 *
 * What was added is freed with the patch's objects, also after an error.
 *
 * Return: 0 or -ENOMEM.
 */
int klp_add_nops(struct klp_patch *patch)
{
	struct klp_object *obj, *old_obj;
	struct klp_patch *old_patch;
	struct klp_func *old_func;
	int ret;

	klp_for_each_patch(old_patch) {
		klp_for_each_object(old_patch, old_obj) {
			obj = find_object(patch, old_obj->name);
			if (!obj)
				obj = make_object(patch, old_obj->name);
			if (!obj)
				return -ENOMEM;
			klp_for_each_func(old_obj, old_func) {
				if (has_func(obj, old_func))
					continue;
				ret = make_nop(obj, old_func);
				if (ret)
					return ret;
			}
		}
	}
	return 0;
}

/* Nobody uses their functions any more: a newer one is on top of each. */
void klp_unpatch_replaced_patches(struct klp_patch *new_patch)
{
	struct klp_patch *patch;

	klp_for_each_patch(patch) {
		if (patch == new_patch)
			return;
		patch->enabled = false;
		klp_unpatch_objects(patch);
	}
}
