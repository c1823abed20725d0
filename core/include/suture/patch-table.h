/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table that Suture's linker writes into every patch module, in section
 * .suture.patch under the symbol suture_patch_table.
 *
 * src/kernel/patch-module.ts writes this layout and is compared with it when the
 * core is built (core/layout.c). Only u32 and pointer-size words are used, ordered
 * so that no compiler puts padding between them; the same members have the same
 * order on every architecture. Byte order is the kernel's. A change of any member's
 * meaning or place is a new SUTURE_TABLE_VERSION, and a core takes its own version
 * only.
 *
 * "Address" means a run-time address in the kernel; a pointer points into the
 * patch module itself and is relocated by the kernel's loader. The core does
 * not trust any of it: see core/table.c.
 */
#ifndef _SUTURE_PATCH_TABLE_H
#define _SUTURE_PATCH_TABLE_H

#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

/* The bytes "SUTR" in a little-endian u32. */
#define SUTURE_TABLE_MAGIC	0x52545553
#define SUTURE_TABLE_VERSION	4

/* What the core is willing to look at; more is a damaged table. */
#define SUTURE_MAX_OBJECTS	256
#define SUTURE_MAX_REDIRECTS	4096	/* of all objects together */
#define SUTURE_MAX_RECIPES	65536	/* of all objects together */
#define SUTURE_MAX_BUILD_ID	64
#define SUTURE_MAX_OLD_SIZE	0x40000
#define SUTURE_MAX_ISLAND	16	/* words */
#define SUTURE_BRANCH_FIELDS	5

/* How a redirect reaches its stub (struct suture_redirect.way). */
#define SUTURE_WAY_FTRACE	0	/* the kernel's hook resumes at the stub */
#define SUTURE_WAY_ENTRY	1	/* a word at the function's entry becomes a branch to it */

/* One function that is redirected. */
struct suture_redirect {
	/* Equals klp_func.old_name. */
	const char *old_name;
	/*
	 * Of the kernel's: where the old function starts; on ppc64le its global
	 * entry. Of a module's: 0, and it is found by its name and sympos.
	 */
	unsigned long old_address;
	/* Equals klp_func.old_sympos. */
	unsigned long old_sympos;
	/*
	 * In bytes, a multiple of 4, more than 0: all that kallsyms has up to the next symbol, of a
	 * module's function what its symbol says or more. Thumb-2 code that ends in the middle of a
	 * word has all of it.
	 */
	unsigned long old_size;
	/* The old function's instructions as the image or the module's file has them: old_size / 4. */
	const u32 *old_words;
	/*
	 * Indexes into old_words, strictly ascending, of the words that a kernel
	 * rewrites itself, and in a module of those that its loader may write: not
	 * compared, and neither is the call site, whether it is listed or not. Half
	 * of the words at least must be compared, of a module's function any, since
	 * the module's build id is. May be NULL if masked_count is 0.
	 */
	const u32 *masked;
	unsigned long masked_count;
	/*
	 * In bytes from the old function's start. The ftrace way's is what ftrace
	 * calls the address of the call site: behind its first word. The entry way's
	 * is the word that becomes a branch, which is not among the masked ones.
	 */
	unsigned long site;
	/* Equals klp_func.new_func; on ppc64le the global entry, in Thumb code with bit 0 set. */
	const void *new_function;
	/*
	 * Where the hook resumes, or the entry's branch leads, instead of in the old
	 * function.
	 */
	const void *stub;
	/*
	 * In bytes, a multiple of 4. 0 in the entry way where there is nothing to be
	 * done on the way: then stub equals new_function.
	 */
	u32 stub_size;
	/* SUTURE_WAY_… */
	u32 way;
};

/*
 * How an entry becomes a branch. Fields are packed as a recipe's are. The branch:
 *
 *	distance = target + branch_addend - its own address
 *	distance must fit in branch_range bits as a signed number
 *	distance >>= branch_shift, arithmetically
 *	bits [from, from + width) of distance go to bits [to, to + width) of branch,
 *	for each of branch_fields; then, unless distance is negative, the bits that
 *	branch_flip has are turned over
 *
 * Where that does not fit, or always if island_always is 1, it leads to an island, words that the core puts into room
 * that it finds within reach. Each word gets its field of the target's address, and
 * all bits of that which no field takes must be 0.
 */
struct suture_entry {
	const u32 *island_words;
	/* One a word; 0: none. */
	const u32 *island_fields;
	u32 island_count;
	u32 branch;
	/* Two's complement. */
	u32 branch_addend;
	u32 branch_range;
	u32 branch_shift;
	/* 0: unused, but not the first. */
	u32 branch_fields[SUTURE_BRANCH_FIELDS];
	u32 branch_flip;
	/* 0 or 1 */
	u32 island_always;
};

/* The bits of struct suture_recipe.flags. */
#define SUTURE_RECIPE_PC_RELATIVE	1	/* minus the run-time address of place */

/*
 * A relocation of the patch module against a symbol of another module, to be done
 * when that module is there:
 *
 *	value = symbol + addend (- place if PC_RELATIVE)
 *	value must fit in range bits as a signed number
 *	value >>= shift, arithmetically
 *	bits [from, from + width) of value go to bits [to, to + width) of the place
 */
struct suture_recipe {
	/* In the patch module's memory. */
	void *place;
	/* Its name in the object. */
	const char *symbol;
	/*
	 * NULL: to be found by name among the functions of the object. Else the
	 * section of the object's file that it lies in: of data, whose name
	 * kallsyms forgets once the object is live.
	 */
	const char *section;
	/* Without a section: which one of that name, counted from 1; 0: the only one. */
	unsigned long sympos;
	/* With a section: where in it, in bytes. */
	unsigned long offset;
	/* Two's complement. */
	unsigned long addend;
	/* Bytes of the place that are read, changed and written: 4 or 8. */
	u32 size;
	/* SUTURE_RECIPE_… */
	u32 flags;
	u32 shift;
	/* 0: not checked. */
	u32 range;
	/* from | width << 8 | to << 16; 0: unused. */
	u32 fields[3];
	/* 0 */
	u32 reserved;
};

/* The kernel itself or one of its modules. */
struct suture_object {
	/* Equals klp_object.name: NULL for the kernel itself. */
	const char *name;
	/* Of the module (section .note.gnu.build-id); NULL for the kernel, whose own the table has. */
	const u8 *build_id;
	/* NULL if there are none. */
	const struct suture_redirect *redirects;
	/* NULL if there are none. */
	const struct suture_recipe *recipes;
	/* In bytes. */
	u32 build_id_size;
	u32 redirect_count;
	u32 recipe_count;
	/* 0 */
	u32 reserved;
};

struct suture_patch_table {
	u32 magic;
	u32 version;
	/* Entries of objects, at least 1. */
	u32 object_count;
	/* In bytes. */
	u32 build_id_size;
	/* Where the kernel has the bytes of its own build id, as the description of a note. */
	unsigned long build_id_address;
	/* What they must be. */
	const u8 *build_id;
	/* In the order of klp_patch.objs. */
	const struct suture_object *objects;
	/* NULL if no redirect is of the entry way. */
	const struct suture_entry *entry;
};

#define SUTURE_ASSERT_PLACE(type, member, u32s, words)			       \
	static_assert(offsetof(struct type, member) ==			       \
		      (u32s) * sizeof(u32) + (words) * sizeof(unsigned long))
#define SUTURE_ASSERT_SIZE(type, u32s, words)				       \
	static_assert(sizeof(struct type) ==				       \
		      (u32s) * sizeof(u32) + (words) * sizeof(unsigned long))

SUTURE_ASSERT_PLACE(suture_redirect, old_name, 0, 0);
SUTURE_ASSERT_PLACE(suture_redirect, old_address, 0, 1);
SUTURE_ASSERT_PLACE(suture_redirect, old_sympos, 0, 2);
SUTURE_ASSERT_PLACE(suture_redirect, old_size, 0, 3);
SUTURE_ASSERT_PLACE(suture_redirect, old_words, 0, 4);
SUTURE_ASSERT_PLACE(suture_redirect, masked, 0, 5);
SUTURE_ASSERT_PLACE(suture_redirect, masked_count, 0, 6);
SUTURE_ASSERT_PLACE(suture_redirect, site, 0, 7);
SUTURE_ASSERT_PLACE(suture_redirect, new_function, 0, 8);
SUTURE_ASSERT_PLACE(suture_redirect, stub, 0, 9);
SUTURE_ASSERT_PLACE(suture_redirect, stub_size, 0, 10);
SUTURE_ASSERT_PLACE(suture_redirect, way, 1, 10);
SUTURE_ASSERT_SIZE(suture_redirect, 2, 10);

SUTURE_ASSERT_PLACE(suture_entry, island_words, 0, 0);
SUTURE_ASSERT_PLACE(suture_entry, island_fields, 0, 1);
SUTURE_ASSERT_PLACE(suture_entry, island_count, 0, 2);
SUTURE_ASSERT_PLACE(suture_entry, branch, 1, 2);
SUTURE_ASSERT_PLACE(suture_entry, branch_addend, 2, 2);
SUTURE_ASSERT_PLACE(suture_entry, branch_range, 3, 2);
SUTURE_ASSERT_PLACE(suture_entry, branch_shift, 4, 2);
SUTURE_ASSERT_PLACE(suture_entry, branch_fields, 5, 2);
SUTURE_ASSERT_PLACE(suture_entry, branch_flip, 10, 2);
SUTURE_ASSERT_PLACE(suture_entry, island_always, 11, 2);
SUTURE_ASSERT_SIZE(suture_entry, 12, 2);

SUTURE_ASSERT_PLACE(suture_recipe, place, 0, 0);
SUTURE_ASSERT_PLACE(suture_recipe, symbol, 0, 1);
SUTURE_ASSERT_PLACE(suture_recipe, section, 0, 2);
SUTURE_ASSERT_PLACE(suture_recipe, sympos, 0, 3);
SUTURE_ASSERT_PLACE(suture_recipe, offset, 0, 4);
SUTURE_ASSERT_PLACE(suture_recipe, addend, 0, 5);
SUTURE_ASSERT_PLACE(suture_recipe, size, 0, 6);
SUTURE_ASSERT_PLACE(suture_recipe, flags, 1, 6);
SUTURE_ASSERT_PLACE(suture_recipe, shift, 2, 6);
SUTURE_ASSERT_PLACE(suture_recipe, range, 3, 6);
SUTURE_ASSERT_PLACE(suture_recipe, fields, 4, 6);
SUTURE_ASSERT_PLACE(suture_recipe, reserved, 7, 6);
SUTURE_ASSERT_SIZE(suture_recipe, 8, 6);

SUTURE_ASSERT_PLACE(suture_object, name, 0, 0);
SUTURE_ASSERT_PLACE(suture_object, build_id, 0, 1);
SUTURE_ASSERT_PLACE(suture_object, redirects, 0, 2);
SUTURE_ASSERT_PLACE(suture_object, recipes, 0, 3);
SUTURE_ASSERT_PLACE(suture_object, build_id_size, 0, 4);
SUTURE_ASSERT_PLACE(suture_object, redirect_count, 1, 4);
SUTURE_ASSERT_PLACE(suture_object, recipe_count, 2, 4);
SUTURE_ASSERT_PLACE(suture_object, reserved, 3, 4);
SUTURE_ASSERT_SIZE(suture_object, 4, 4);

SUTURE_ASSERT_PLACE(suture_patch_table, magic, 0, 0);
SUTURE_ASSERT_PLACE(suture_patch_table, version, 1, 0);
SUTURE_ASSERT_PLACE(suture_patch_table, object_count, 2, 0);
SUTURE_ASSERT_PLACE(suture_patch_table, build_id_size, 3, 0);
SUTURE_ASSERT_PLACE(suture_patch_table, build_id_address, 4, 0);
SUTURE_ASSERT_PLACE(suture_patch_table, build_id, 4, 1);
SUTURE_ASSERT_PLACE(suture_patch_table, objects, 4, 2);
SUTURE_ASSERT_PLACE(suture_patch_table, entry, 4, 3);
SUTURE_ASSERT_SIZE(suture_patch_table, 4, 4);

/* Supplied by Suture's linker and by nothing else: a module not linked by it does not load. */
extern const struct suture_patch_table suture_patch_table;

#endif /* _SUTURE_PATCH_TABLE_H */
