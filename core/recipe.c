// SPDX-License-Identifier: GPL-2.0-only
/*
 * Recipes: relocations of a patch module against a module that may not have been there
 * when the patch was loaded. What they are in terms of the architecture, src/arch
 * knows; here they are arithmetic (include/suture/patch-table.h).
 *
 * Called with suture_mutex held. Places are in the patch's own module: its text, which
 * is read-only and written word by word through the kernel's text poking, or its
 * writable data. Nobody executes or reads them yet, since nothing has been redirected
 * to them.
 */
#include <linux/bitops.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "suture-arch.h"
#include "suture.h"

static struct suture_range writable_data(const struct module *mod)
{
	unsigned long base = (unsigned long)mod->core_layout.base;

	return (struct suture_range){ base + mod->core_layout.ro_after_init_size,
				      base + mod->core_layout.size };
}

static bool lies_in(const struct suture_range *range, const void *pointer,
		    unsigned long size)
{
	unsigned long start = (unsigned long)pointer;

	return start >= range->start && start <= range->end &&
	       size <= range->end - start;
}

/* A string that ends in the module; that it is no name of anything is found out later. */
static bool is_string(const struct suture_range *memory, const char *text)
{
	size_t room;

	if (!lies_in(memory, text, 1))
		return false;
	room = min_t(size_t, memory->end - (unsigned long)text, KSYM_NAME_LEN);
	return strnlen(text, room) < room;
}

/* A part of a value, and where it goes. */
struct field {
	u32 from;
	u32 width;
	u32 to;
};

static struct field field_of(u32 packed)
{
	return (struct field){ packed & 0xff, packed >> 8 & 0xff, packed >> 16 & 0xff };
}

/**
 * suture_field_is_sound() - whether a field is one
 * @packed:	as a table has it
 * @size:	of the place, in bytes
 */
bool suture_field_is_sound(u32 packed, u32 size)
{
	struct field field = field_of(packed);

	return !(packed >> 24) && field.width && field.from + field.width <= 64 &&
	       field.to + field.width <= size * BITS_PER_BYTE;
}

/* The bits of a value that a field takes; of 0, which is no field, none. */
u64 suture_field_mask(u32 packed)
{
	struct field field = field_of(packed);

	return packed ? GENMASK_ULL(field.from + field.width - 1, field.from) : 0;
}

/* A place with its field filled from a value; 0 is no field. */
u64 suture_put_field(u64 place, u32 packed, u64 value)
{
	struct field field = field_of(packed);
	u64 mask;

	if (!packed)
		return place;
	mask = GENMASK_ULL(field.width - 1, 0);
	return (place & ~(mask << field.to)) | (value >> field.from & mask) << field.to;
}

static bool fields_fit(const struct suture_recipe *recipe)
{
	u32 i, used = 0;

	for (i = 0; i < ARRAY_SIZE(recipe->fields); i++) {
		if (!recipe->fields[i])
			continue;
		if (!suture_field_is_sound(recipe->fields[i], recipe->size))
			return false;
		used++;
	}
	return used;
}

static bool is_sound(const struct module *patch_mod, const struct suture_recipe *recipe,
		     const struct suture_range *memory)
{
	struct suture_range text = suture_text(patch_mod);
	struct suture_range data = writable_data(patch_mod);

	if (!is_string(memory, recipe->symbol) ||
	    (recipe->section && !is_string(memory, recipe->section)) ||
	    (!recipe->section && !*recipe->symbol))
		return false;
	if ((recipe->size != 4 && recipe->size != 8) ||
	    (recipe->flags & ~SUTURE_RECIPE_PC_RELATIVE) || recipe->reserved ||
	    recipe->shift > 63 || recipe->range > 64 || !fields_fit(recipe))
		return false;
	/* Instructions have their alignment, data may be packed. */
	return lies_in(&data, recipe->place, recipe->size) ||
	       (lies_in(&text, recipe->place, recipe->size) &&
		IS_ALIGNED((unsigned long)recipe->place, sizeof(u32)));
}

/**
 * suture_check_recipes() - whether the recipes for an object can be followed
 * @patch_mod:	the patch's module
 * @object:	its list of recipes is not checked yet
 * @memory:	of @patch_mod, what stays after its init
 *
 * Before anything is touched. What they refer to is not looked for.
 *
 * Return: 0, or -EINVAL after the reason went to the log.
 */
int suture_check_recipes(const struct module *patch_mod,
			 const struct suture_object *object,
			 const struct suture_range *memory)
{
	u32 i, count = object->recipe_count;

	if (!count)
		return 0;
	if (!object->name || count > SUTURE_MAX_RECIPES ||
	    !IS_ALIGNED((unsigned long)object->recipes, sizeof(long)) ||
	    !lies_in(memory, object->recipes, count * sizeof(*object->recipes))) {
		suture_refuse(patch_mod, "the patch table is damaged: %u recipes of '%s' that are not in the module",
			      count, object->name ?: "vmlinux");
		return -EINVAL;
	}
	for (i = 0; i < count; i++) {
		if (!is_sound(patch_mod, &object->recipes[i], memory)) {
			suture_refuse(patch_mod, "the patch table is damaged: recipe %u of '%s' has a place or a field that cannot be",
				      i, object->name);
			return -EINVAL;
		}
	}
	return 0;
}

/* A place before and after, low bytes first as in memory. */
struct change {
	u64 before;
	u64 after;
};

/* Whether a number fits in so many bits as a signed one; 0: it is not asked. */
bool suture_fits(s64 value, u32 bits)
{
	return !bits || bits == 64 || value == sign_extend64(value, bits - 1);
}

/* What a place becomes when @target is where the symbol is; false if it does not fit. */
static bool work_out(const struct suture_recipe *recipe, unsigned long target,
		     struct change *change)
{
	unsigned long sum = target + recipe->addend;
	s64 value;
	u32 i;

	if (recipe->flags & SUTURE_RECIPE_PC_RELATIVE)
		sum -= (unsigned long)recipe->place;
	/* Addresses wrap around; the sum is a distance, or stands for itself. */
	value = (long)sum;
	if (!suture_fits(value, recipe->range))
		return false;
	value >>= recipe->shift;

	change->before = 0;
	memcpy(&change->before, recipe->place, recipe->size);
	change->after = change->before;
	for (i = 0; i < ARRAY_SIZE(recipe->fields); i++)
		change->after = suture_put_field(change->after, recipe->fields[i], value);
	return true;
}

static int write_text(u32 *place, u64 bytes, u32 size)
{
	u32 i;
	int ret = 0;

	for (i = 0; !ret && i < size / sizeof(u32); i++)
		ret = arch_write_text(place + i, bytes >> 32 * i);
	return ret;
}

static int write_place(const struct module *patch_mod, const struct suture_recipe *recipe,
		       u64 bytes)
{
	struct suture_range data = writable_data(patch_mod);

	if (!lies_in(&data, recipe->place, recipe->size))
		return write_text(recipe->place, bytes, recipe->size);
	memcpy(recipe->place, &bytes, recipe->size);
	return 0;
}

static int work_out_all(const struct module *patch_mod, const struct suture_object *object,
			struct module *mod, struct change *changes)
{
	unsigned long target;
	u32 i;
	int ret;

	for (i = 0; i < object->recipe_count; i++) {
		const struct suture_recipe *recipe = &object->recipes[i];

		ret = suture_recipe_target(mod, recipe, &target);
		if (ret) {
			suture_refuse(patch_mod, "'%s' has %s symbol '%s' that the patch refers to",
				      mod->name, ret == -EEXIST ? "more than one" : "no",
				      recipe->symbol);
			return ret;
		}
		if (!work_out(recipe, target, &changes[i])) {
			suture_refuse(patch_mod, "'%s' of '%s' is too far away from the patch",
				      recipe->symbol, mod->name);
			return -ENOEXEC;
		}
	}
	return 0;
}

/**
 * suture_apply_recipes() - relocates a patch against one of the modules that it is for
 * @patch_mod:	the patch's module
 * @object:	checked
 * @mod:	the module, COMING or LIVE
 *
 * Everything is found and worked out before anything is written.
 *
 * Return: 0; else nothing is changed, and the reason went to the log:
 *   -ENOENT	what a recipe refers to is not there
 *   -EEXIST	it may be one of several
 *   -ENOEXEC	it is out of reach
 *   -ENOMEM	there is no memory
 *   or why text cannot be written
 */
int suture_apply_recipes(const struct module *patch_mod,
			 const struct suture_object *object, struct module *mod)
{
	u32 i, count = object->recipe_count;
	struct change *changes;
	int ret;

	if (!count)
		return 0;
	changes = suture_out_of_memory() ? NULL :
		  kvmalloc_array(count, sizeof(*changes), GFP_KERNEL);
	if (!changes) {
		suture_refuse(patch_mod, "no memory for %u recipes", count);
		return -ENOMEM;
	}
	ret = work_out_all(patch_mod, object, mod, changes);
	for (i = 0; !ret && i < count; i++)
		ret = write_place(patch_mod, &object->recipes[i], changes[i].after);
	if (ret && i) {
		suture_refuse(patch_mod, "its text cannot be written: error %d", ret);
		while (i--)
			write_place(patch_mod, &object->recipes[i], changes[i].before);
	}
	kvfree(changes);
	return ret;
}
