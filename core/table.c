// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether a patch may be applied to this kernel: everything that can be known
 * before anything is touched.
 *
 * The patch module is code and runs in the kernel, so nothing here is a defence
 * against its author. It is one against damage and mistakes: a table written for
 * another layout, another kernel or another build, or a file with wrong bytes, is
 * refused with the reason, and no pointer or count of it is followed unchecked.
 */
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "bound.h"
#include "suture-arch.h"
#include "suture.h"

/* Whether @count things at @pointer lie in @range, aligned as they must be. */
#define holds(range, pointer, count)					       \
	range_holds(range, (unsigned long)(pointer), count, sizeof(*(pointer)), \
		    __alignof__(*(pointer)))

static bool range_holds(const struct suture_range *range, unsigned long start,
			unsigned long count, unsigned long size,
			unsigned long alignment)
{
	return start >= range->start && start <= range->end &&
	       IS_ALIGNED(start, alignment) &&
	       count <= (range->end - start) / size;
}

/* A name of the length that kallsyms allows, with its end inside the module. */
static bool holds_name(const struct suture_range *memory, const char *name)
{
	size_t room;

	if (!holds(memory, name, 1))
		return false;
	room = min_t(size_t, memory->end - (unsigned long)name, KSYM_NAME_LEN);
	return *name && strnlen(name, room) < room;
}

/*
 * The memory of the patch's module that outlives its init. The module must hold
 * the patch, the table and its own struct module; before that is known, nothing
 * is read from it that could fault.
 */
static int find_memory(struct klp_patch *patch,
		       const struct suture_patch_table *table,
		       struct suture_range *memory)
{
	struct module_layout layout;
	struct module *mod;

	if (!patch || get_kernel_nofault(mod, &patch->mod) || !mod ||
	    copy_from_kernel_nofault(&layout, &mod->core_layout, sizeof(layout)))
		goto stray;

	memory->start = (unsigned long)layout.base;
	memory->end = memory->start + layout.size;
	if (!holds(memory, mod, 1) || !holds(memory, patch, 1) ||
	    !holds(memory, table, 1))
		goto stray;
	return 0;

stray:
	pr_err("suture: a patch does not lie in the module that it names\n");
	return -EINVAL;
}

/* How entries become branches, if the table says so. */
static int check_entry_way(const struct module *mod, const struct suture_entry *entry,
			   const struct suture_range *memory)
{
	if (!entry)
		return 0;
	if (!holds(memory, entry, 1) || entry->island_count > SUTURE_MAX_ISLAND ||
	    (entry->island_count &&
	     (!holds(memory, entry->island_words, entry->island_count) ||
	      !holds(memory, entry->island_fields, entry->island_count))) ||
	    !suture_entry_is_sound(entry)) {
		suture_refuse(mod, "the patch table is damaged: what it says of branches lies outside the module, or cannot be");
		return -EINVAL;
	}
	return 0;
}

static int check_header(const struct module *mod,
			const struct suture_patch_table *table,
			const struct suture_range *memory)
{
	if (table->magic != SUTURE_TABLE_MAGIC) {
		suture_refuse(mod, "the patch table is damaged: it starts with %#x instead of %#x",
			      table->magic, SUTURE_TABLE_MAGIC);
		return -EINVAL;
	}
	if (table->version != SUTURE_TABLE_VERSION) {
		suture_refuse(mod, "the patch table has layout version %u, and this core takes version %u",
			      table->version, SUTURE_TABLE_VERSION);
		return -EINVAL;
	}
	if (!table->build_id_size || table->build_id_size > SUTURE_MAX_BUILD_ID ||
	    !holds(memory, table->build_id, table->build_id_size)) {
		suture_refuse(mod, "the patch table is damaged: its build id lies outside the module");
		return -EINVAL;
	}
	if (!table->object_count || table->object_count > SUTURE_MAX_OBJECTS) {
		suture_refuse(mod, "the patch table is damaged: %u objects instead of 1 to %u",
			      table->object_count, SUTURE_MAX_OBJECTS);
		return -EINVAL;
	}
	if (!holds(memory, table->objects, table->object_count)) {
		suture_refuse(mod, "the patch table is damaged: its %u objects lie outside the module",
			      table->object_count);
		return -EINVAL;
	}
	return check_entry_way(mod, table->entry, memory);
}

/* What the table says of one object. */
static int check_entry(const struct module *mod,
		       const struct suture_object *object,
		       const struct suture_range *memory,
		       u32 *redirects_left, u32 *recipes_left)
{
	if (object->name && !holds_name(memory, object->name)) {
		suture_refuse(mod, "the patch table is damaged: an object's name is no string in the module");
		return -EINVAL;
	}
	if (object->name ? !object->build_id_size ||
			   object->build_id_size > SUTURE_MAX_BUILD_ID ||
			   !holds(memory, object->build_id, object->build_id_size) :
			   object->build_id || object->build_id_size) {
		suture_refuse(mod, "the patch table is damaged: the build id of an object lies outside the module, or is the kernel's");
		return -EINVAL;
	}
	if (object->reserved) {
		suture_refuse(mod, "the patch table is damaged: an object has %u where 0 must be",
			      object->reserved);
		return -EINVAL;
	}
	if (object->redirect_count > *redirects_left ||
	    !object->redirects != !object->redirect_count ||
	    (object->redirects &&
	     !holds(memory, object->redirects, object->redirect_count))) {
		suture_refuse(mod, "the patch table is damaged: the %u redirects of an object lie outside the module or are too many",
			      object->redirect_count);
		return -EINVAL;
	}
	if (object->recipe_count > *recipes_left ||
	    !object->recipes != !object->recipe_count) {
		suture_refuse(mod, "the patch table is damaged: %u recipes of an object are too many",
			      object->recipe_count);
		return -EINVAL;
	}
	*redirects_left -= object->redirect_count;
	*recipes_left -= object->recipe_count;
	return suture_check_recipes(mod, object, memory);
}

static int check_entries(const struct module *mod,
			 const struct suture_patch_table *table,
			 const struct suture_range *memory)
{
	u32 i, redirects_left = SUTURE_MAX_REDIRECTS;
	u32 recipes_left = SUTURE_MAX_RECIPES;
	int ret = 0;

	for (i = 0; !ret && i < table->object_count; i++)
		ret = check_entry(mod, &table->objects[i], memory,
				  &redirects_left, &recipes_left);
	return ret;
}

static int check_build_id(const struct module *mod,
			  const struct suture_patch_table *table)
{
	if (!suture_kernel_has_build_id(table->build_id_address, table->build_id,
					table->build_id_size)) {
		suture_refuse(mod, "made for another kernel: this one has no build id %*phN at %#lx",
			      (int)table->build_id_size, table->build_id,
			      table->build_id_address);
		return -EINVAL;
	}
	return 0;
}

/* Where a pointer to code leads; of one to code of another instruction set, nowhere. */
static const u32 *code_at(const void *pointer)
{
	unsigned long address = arch_code_address((unsigned long)pointer);

	return arch_code_pointer(address) == (unsigned long)pointer ? (const u32 *)address : NULL;
}

static int check_pointers(const struct module *mod,
			  const struct suture_redirect *redirect,
			  const struct suture_range *memory, bool has_entry)
{
	struct suture_range text = suture_text(mod);
	bool is_entry = redirect->way == SUTURE_WAY_ENTRY;
	const u32 *stub = code_at(redirect->stub), *new_function = code_at(redirect->new_function);
	unsigned long i, words = redirect->old_size / sizeof(u32);

	if (!holds_name(memory, redirect->old_name)) {
		suture_refuse(mod, "the patch table is damaged: a function's name is no string in the module");
		return -EINVAL;
	}
	if (redirect->way != SUTURE_WAY_FTRACE &&
	    (redirect->way != SUTURE_WAY_ENTRY || !has_entry)) {
		suture_refuse(mod, "'%s': redirected in way %u, which this core does not know",
			      redirect->old_name, redirect->way);
		return -EINVAL;
	}
	if (!is_entry && !IS_ENABLED(CONFIG_DYNAMIC_FTRACE_WITH_REGS)) {
		suture_refuse(mod, "'%s': redirected through ftrace, which this kernel does not have",
			      redirect->old_name);
		return -EOPNOTSUPP;
	}
	if (!words || redirect->old_size > SUTURE_MAX_OLD_SIZE ||
	    !IS_ALIGNED(redirect->old_size, sizeof(u32)) ||
	    !IS_ALIGNED(redirect->old_address, sizeof(u32))) {
		suture_refuse(mod, "'%s': the patch table is damaged: no function has %lu bytes at %#lx",
			      redirect->old_name, redirect->old_size,
			      redirect->old_address);
		return -EINVAL;
	}
	if (!holds(memory, redirect->old_words, words)) {
		suture_refuse(mod, "'%s': the patch table is damaged: its copy of the old function (%lu bytes) lies outside the module",
			      redirect->old_name, redirect->old_size);
		return -EINVAL;
	}
	if (redirect->masked_count &&
	    !holds(memory, redirect->masked, redirect->masked_count)) {
		suture_refuse(mod, "'%s': the patch table is damaged: its list of %lu masked words lies outside the module",
			      redirect->old_name, redirect->masked_count);
		return -EINVAL;
	}
	for (i = 0; i < redirect->masked_count; i++) {
		if (is_entry && redirect->masked[i] == redirect->site / sizeof(u32)) {
			suture_refuse(mod, "'%s': the patch table is damaged: the kernel rewrites the word that is to become a branch",
				      redirect->old_name);
			return -EINVAL;
		}
		if (redirect->masked[i] >= words ||
		    (i && redirect->masked[i] <= redirect->masked[i - 1])) {
			suture_refuse(mod, "'%s': the patch table is damaged: masked word %u is out of order or outside the old function",
				      redirect->old_name, redirect->masked[i]);
			return -EINVAL;
		}
	}
	/* ftrace would take a function's first byte too, and call it by another ip. */
	if ((!redirect->site && !is_entry) || redirect->site >= redirect->old_size ||
	    !IS_ALIGNED(redirect->site, sizeof(u32))) {
		suture_refuse(mod, "'%s': the patch table is damaged: the call site at +%#lx is not inside the old function",
			      redirect->old_name, redirect->site);
		return -EINVAL;
	}
	if (!holds(&text, new_function, 1)) {
		suture_refuse(mod, "'%s': the patch table is damaged: the new function is not in the module's code",
			      redirect->old_name);
		return -EINVAL;
	}
	if (is_entry && !redirect->stub_size && stub == new_function)
		return 0;
	if (!redirect->stub_size || !IS_ALIGNED(redirect->stub_size, sizeof(u32)) ||
	    !holds(&text, stub, redirect->stub_size / sizeof(u32))) {
		suture_refuse(mod, "'%s': the patch table is damaged: the stub is not in the module's code",
			      redirect->old_name);
		return -EINVAL;
	}
	return 0;
}

/* All that does not depend on whether the object is there. */
static int check_redirects(const struct module *mod,
			   const struct suture_object *object,
			   const struct suture_range *memory, bool has_entry)
{
	const struct suture_redirect *redirect = object->redirects;
	int ret = 0;
	u32 i;

	for (i = 0; !ret && i < object->redirect_count; i++, redirect++) {
		ret = check_pointers(mod, redirect, memory, has_entry);
		if (!ret && !object->name)
			ret = suture_check_kernel_function(mod, redirect);
		if (!ret && object->name && redirect->old_address) {
			suture_refuse(mod, "'%s': the patch table is damaged: a module's function has an address",
				      redirect->old_name);
			ret = -EINVAL;
		}
	}
	return ret;
}

/* The only function of its name is the first one. */
static bool is_twice(const struct klp_object *obj, const struct klp_func *func)
{
	const struct klp_func *other;

	for (other = obj->funcs; other < func; other++) {
		if ((other->old_sympos ?: 1) == (func->old_sympos ?: 1) &&
		    !strcmp(other->old_name, func->old_name))
			return true;
	}
	return false;
}

static int check_funcs(const struct module *mod, const struct klp_object *obj,
		       const struct suture_object *object,
		       const struct suture_range *memory)
{
	const struct klp_func *func;
	u32 count = 0;

	for (func = obj->funcs;; func++) {
		if (!holds(memory, func, 1)) {
			suture_refuse(mod, "the list of functions does not end inside the module");
			return -EINVAL;
		}
		if (!func->old_name && !func->new_func && !func->old_sympos)
			break;
		if (!holds_name(memory, func->old_name) || !func->new_func) {
			suture_refuse(mod, "a function without a name or without a new function");
			return -EINVAL;
		}
		if (!suture_find_redirect(object, func)) {
			suture_refuse(mod, "'%s': the patch table has no redirect for it",
				      func->old_name);
			return -EINVAL;
		}
		if (is_twice(obj, func)) {
			suture_refuse(mod, "'%s' is patched twice in one patch",
				      func->old_name);
			return -EINVAL;
		}
		if (!suture_symbol_size((unsigned long)func->new_func)) {
			suture_refuse(mod, "'%s': its new function has no symbol, so it cannot be seen who is inside",
				      func->old_name);
			return -EINVAL;
		}
		count++;
	}
	if (count != object->redirect_count) {
		suture_refuse(mod, "%u functions, but %u redirects in the patch table",
			      count, object->redirect_count);
		return -EINVAL;
	}
	return 0;
}

/* Whether an object before this one is the same. */
static bool is_patched_before(const struct klp_patch *patch,
			      const struct klp_object *obj)
{
	const struct klp_object *other;

	for (other = patch->objs; other < obj; other++) {
		if (!other->name || !obj->name) {
			if (other->name == obj->name)
				return true;
		} else if (!strcmp(other->name, obj->name)) {
			return true;
		}
	}
	return false;
}

/* The patch as mainline shapes it must say the same as the table. */
static int check_objects(const struct klp_patch *patch,
			 const struct suture_patch_table *table,
			 const struct suture_range *memory)
{
	const struct module *mod = patch->mod;
	const struct suture_object *entry = table->objects;
	const struct suture_object *end = entry + table->object_count;
	const struct klp_object *obj;
	int ret;

	for (obj = patch->objs;; obj++, entry++) {
		if (!holds(memory, obj, 1)) {
			suture_refuse(mod, "the list of objects does not end inside the module");
			return -EINVAL;
		}
		if (!obj->name && !obj->funcs)
			break;
		if (entry == end)
			break;
		if (obj->name && !holds_name(memory, obj->name)) {
			suture_refuse(mod, "an object's name is no string in the module");
			return -EINVAL;
		}
		/* Nobody could see the core left, and it does not wait for itself. */
		if (obj->name && !strcmp(obj->name, THIS_MODULE->name)) {
			suture_refuse(mod, "'%s' patches it, and cannot be patched by itself",
				      obj->name);
			return -EINVAL;
		}
		if (!obj->name != !entry->name ||
		    (obj->name && strcmp(obj->name, entry->name))) {
			suture_refuse(mod, "'%s': the patch table has another object in its place",
				      suture_object_name(obj));
			return -EINVAL;
		}
		if (is_patched_before(patch, obj)) {
			suture_refuse(mod, "'%s' is there twice in one patch",
				      suture_object_name(obj));
			return -EINVAL;
		}
		ret = check_funcs(mod, obj, entry, memory);
		if (ret)
			return ret;
	}
	if (entry != end || obj->name || obj->funcs) {
		suture_refuse(mod, "not the %u objects that the patch table has",
			      table->object_count);
		return -EINVAL;
	}
	return 0;
}

static int check_states(const struct klp_patch *patch,
			const struct suture_range *memory)
{
	const struct klp_state *state = patch->states;

	for (; state; state++) {
		if (!holds(memory, state, 1)) {
			suture_refuse(patch->mod, "the list of states does not end inside the module");
			return -EINVAL;
		}
		if (!state->id)
			break;
	}
	return 0;
}

/**
 * suture_check() - whether a patch may be applied to this kernel
 * @patch:	as the module has it, nothing of it checked
 * @table:	likewise
 *
 * Called with suture_mutex held. Has no effect but messages. What the patch is to
 * change in modules is compared when they are there (suture_check_module_function()).
 *
 * Return: 0, or an error after the reason went to the log.
 */
int suture_check(struct klp_patch *patch,
		 const struct suture_patch_table *table)
{
	struct suture_range memory;
	u32 i;
	int ret;

	ret = find_memory(patch, table, &memory);
	if (!ret)
		ret = check_header(patch->mod, table, &memory);
	if (!ret)
		ret = check_build_id(patch->mod, table);
	if (!ret)
		ret = check_entries(patch->mod, table, &memory);
	for (i = 0; !ret && i < table->object_count; i++)
		ret = check_redirects(patch->mod, &table->objects[i], &memory,
				      table->entry);
	if (!ret)
		ret = check_objects(patch, table, &memory);
	if (!ret)
		ret = check_states(patch, &memory);
	return ret;
}

/**
 * suture_find_redirect() - what the table has for a function
 * @object:	of the function, its redirects checked
 * @func:	its names are known to be strings
 *
 * Return: the redirect, or NULL.
 */
const struct suture_redirect *
suture_find_redirect(const struct suture_object *object,
		     const struct klp_func *func)
{
	const struct suture_redirect *redirect = object->redirects;
	u32 i;

	for (i = 0; i < object->redirect_count; i++, redirect++) {
		if (redirect->new_function == func->new_func &&
		    redirect->old_sympos == func->old_sympos &&
		    !strcmp(redirect->old_name, func->old_name))
			return redirect;
	}
	return NULL;
}
