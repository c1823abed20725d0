// SPDX-License-Identifier: GPL-2.0-only
/*
 * The layout of patch tables as this compiler has it, for src/kernel/patch-module.ts
 * to be compared with, and the layout of struct klp_patch and what hangs on it. Section .comment.suture.layout of suture.ko (modpost takes
 * no other name for one that is not loaded) holds "name=value" strings, each ended
 * by a NUL. Values are decimal; places and sizes are in bytes.
 */
#include <linux/kernel.h>
#include <linux/stddef.h>

#include "suture.h"

#define TELL(name, value)						       \
	asm volatile(".pushsection .comment.suture.layout,\"\"\n\t"		       \
		     ".asciz \"" name "=%c0\"\n\t"			       \
		     ".popsection" : : "i" (value))
#define TELL_PLACE(type, member)					       \
	TELL(#type "." #member, offsetof(struct type, member))

/* Never called, and kept for what it writes while it is compiled. */
static void __used __init suture_layout(void)
{
	TELL("magic", SUTURE_TABLE_MAGIC);
	TELL("version", SUTURE_TABLE_VERSION);
	TELL("max_objects", SUTURE_MAX_OBJECTS);
	TELL("max_redirects", SUTURE_MAX_REDIRECTS);
	TELL("max_recipes", SUTURE_MAX_RECIPES);
	TELL("max_build_id", SUTURE_MAX_BUILD_ID);
	TELL("max_old_size", SUTURE_MAX_OLD_SIZE);
	TELL("max_island", SUTURE_MAX_ISLAND);
	TELL("branch_fields", SUTURE_BRANCH_FIELDS);
	TELL("way_ftrace", SUTURE_WAY_FTRACE);
	TELL("way_entry", SUTURE_WAY_ENTRY);
	TELL("recipe_pc_relative", SUTURE_RECIPE_PC_RELATIVE);

	TELL("suture_patch_table", sizeof(struct suture_patch_table));
	TELL_PLACE(suture_patch_table, magic);
	TELL_PLACE(suture_patch_table, version);
	TELL_PLACE(suture_patch_table, object_count);
	TELL_PLACE(suture_patch_table, build_id_size);
	TELL_PLACE(suture_patch_table, build_id_address);
	TELL_PLACE(suture_patch_table, build_id);
	TELL_PLACE(suture_patch_table, objects);
	TELL_PLACE(suture_patch_table, entry);

	TELL("suture_object", sizeof(struct suture_object));
	TELL_PLACE(suture_object, name);
	TELL_PLACE(suture_object, build_id);
	TELL_PLACE(suture_object, redirects);
	TELL_PLACE(suture_object, recipes);
	TELL_PLACE(suture_object, build_id_size);
	TELL_PLACE(suture_object, redirect_count);
	TELL_PLACE(suture_object, recipe_count);
	TELL_PLACE(suture_object, reserved);

	TELL("suture_redirect", sizeof(struct suture_redirect));
	TELL_PLACE(suture_redirect, old_name);
	TELL_PLACE(suture_redirect, old_address);
	TELL_PLACE(suture_redirect, old_sympos);
	TELL_PLACE(suture_redirect, old_size);
	TELL_PLACE(suture_redirect, old_words);
	TELL_PLACE(suture_redirect, masked);
	TELL_PLACE(suture_redirect, masked_count);
	TELL_PLACE(suture_redirect, site);
	TELL_PLACE(suture_redirect, new_function);
	TELL_PLACE(suture_redirect, stub);
	TELL_PLACE(suture_redirect, stub_size);
	TELL_PLACE(suture_redirect, way);

	TELL("suture_entry", sizeof(struct suture_entry));
	TELL_PLACE(suture_entry, island_words);
	TELL_PLACE(suture_entry, island_fields);
	TELL_PLACE(suture_entry, island_count);
	TELL_PLACE(suture_entry, branch);
	TELL_PLACE(suture_entry, branch_addend);
	TELL_PLACE(suture_entry, branch_range);
	TELL_PLACE(suture_entry, branch_shift);
	TELL_PLACE(suture_entry, branch_fields);
	TELL_PLACE(suture_entry, branch_flip);
	TELL_PLACE(suture_entry, island_always);

	TELL("suture_recipe", sizeof(struct suture_recipe));
	TELL_PLACE(suture_recipe, place);
	TELL_PLACE(suture_recipe, symbol);
	TELL_PLACE(suture_recipe, section);
	TELL_PLACE(suture_recipe, sympos);
	TELL_PLACE(suture_recipe, offset);
	TELL_PLACE(suture_recipe, addend);
	TELL_PLACE(suture_recipe, size);
	TELL_PLACE(suture_recipe, flags);
	TELL_PLACE(suture_recipe, shift);
	TELL_PLACE(suture_recipe, range);
	TELL_PLACE(suture_recipe, fields);
	TELL_PLACE(suture_recipe, reserved);

	/* What `suture adapt` finds a patch by. */
	TELL("klp_patch", sizeof(struct klp_patch));
	TELL_PLACE(klp_patch, mod);
	TELL_PLACE(klp_patch, objs);
	TELL_PLACE(klp_patch, states);
	TELL_PLACE(klp_patch, replace);
	TELL("klp_object", sizeof(struct klp_object));
	TELL_PLACE(klp_object, name);
	TELL_PLACE(klp_object, funcs);
	TELL_PLACE(klp_object, callbacks);
	TELL("klp_func", sizeof(struct klp_func));
	TELL_PLACE(klp_func, old_name);
	TELL_PLACE(klp_func, new_func);
	TELL_PLACE(klp_func, old_sympos);
}
