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
#define SUTURE_TABLE_VERSION	1

/* What the core is willing to look at; more is a damaged table. */
#define SUTURE_MAX_REDIRECTS	4096
#define SUTURE_MAX_BUILD_ID	64
#define SUTURE_MAX_OLD_SIZE	0x40000

/* How a redirect reaches its stub (struct suture_redirect.way). */
#define SUTURE_WAY_FTRACE	0	/* the kernel's hook resumes at the stub */

/* One function of the kernel that is redirected. */
struct suture_redirect {
	/* Equals klp_func.old_name. */
	const char *old_name;
	/* Where the old function starts; on ppc64le its global entry. */
	unsigned long old_address;
	/* In bytes, a multiple of 4, more than 0, no more than kallsyms has up to the next symbol. */
	unsigned long old_size;
	/* The old function's instructions as the image has them: old_size / 4. */
	const u32 *old_words;
	/*
	 * Indexes into old_words, strictly ascending, of the words that a kernel
	 * rewrites itself: not compared, and neither is the call site, whether it
	 * is listed or not. Half of the words at least must be compared. May be
	 * NULL if masked_count is 0.
	 */
	const u32 *masked;
	unsigned long masked_count;
	/*
	 * What ftrace calls the address of the call site: inside the old function,
	 * behind its first word.
	 */
	unsigned long ip;
	/* Equals klp_func.new_func; on ppc64le the global entry. */
	const void *new_function;
	/* Where the hook resumes instead of in the old function. */
	const void *stub;
	/* In bytes, a multiple of 4, more than 0. */
	u32 stub_size;
	/* SUTURE_WAY_… */
	u32 way;
};

struct suture_patch_table {
	u32 magic;
	u32 version;
	/* Entries of redirects, at least 1. */
	u32 redirect_count;
	/* In bytes. */
	u32 build_id_size;
	/* Where the kernel has the bytes of its own build id, as the description of a note. */
	unsigned long build_id_address;
	/* What they must be. */
	const u8 *build_id;
	const struct suture_redirect *redirects;
};

#define SUTURE_ASSERT_PLACE(type, member, u32s, words)			       \
	static_assert(offsetof(struct type, member) ==			       \
		      (u32s) * sizeof(u32) + (words) * sizeof(unsigned long))
#define SUTURE_ASSERT_SIZE(type, u32s, words)				       \
	static_assert(sizeof(struct type) ==				       \
		      (u32s) * sizeof(u32) + (words) * sizeof(unsigned long))

SUTURE_ASSERT_PLACE(suture_redirect, old_name, 0, 0);
SUTURE_ASSERT_PLACE(suture_redirect, old_address, 0, 1);
SUTURE_ASSERT_PLACE(suture_redirect, old_size, 0, 2);
SUTURE_ASSERT_PLACE(suture_redirect, old_words, 0, 3);
SUTURE_ASSERT_PLACE(suture_redirect, masked, 0, 4);
SUTURE_ASSERT_PLACE(suture_redirect, masked_count, 0, 5);
SUTURE_ASSERT_PLACE(suture_redirect, ip, 0, 6);
SUTURE_ASSERT_PLACE(suture_redirect, new_function, 0, 7);
SUTURE_ASSERT_PLACE(suture_redirect, stub, 0, 8);
SUTURE_ASSERT_PLACE(suture_redirect, stub_size, 0, 9);
SUTURE_ASSERT_PLACE(suture_redirect, way, 1, 9);
SUTURE_ASSERT_SIZE(suture_redirect, 2, 9);

SUTURE_ASSERT_PLACE(suture_patch_table, magic, 0, 0);
SUTURE_ASSERT_PLACE(suture_patch_table, version, 1, 0);
SUTURE_ASSERT_PLACE(suture_patch_table, redirect_count, 2, 0);
SUTURE_ASSERT_PLACE(suture_patch_table, build_id_size, 3, 0);
SUTURE_ASSERT_PLACE(suture_patch_table, build_id_address, 4, 0);
SUTURE_ASSERT_PLACE(suture_patch_table, build_id, 4, 1);
SUTURE_ASSERT_PLACE(suture_patch_table, redirects, 4, 2);
SUTURE_ASSERT_SIZE(suture_patch_table, 4, 3);

/* Supplied by Suture's linker and by nothing else: a module not linked by it does not load. */
extern const struct suture_patch_table suture_patch_table;

#endif /* _SUTURE_PATCH_TABLE_H */
