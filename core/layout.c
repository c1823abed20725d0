// SPDX-License-Identifier: GPL-2.0-only
/*
 * The layout of patch tables as this compiler has it, for src/kernel/patch-module.ts
 * to be compared with. Section .comment.suture.layout of suture.ko (modpost takes
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
	TELL("max_redirects", SUTURE_MAX_REDIRECTS);
	TELL("max_build_id", SUTURE_MAX_BUILD_ID);
	TELL("max_old_size", SUTURE_MAX_OLD_SIZE);
	TELL("way_ftrace", SUTURE_WAY_FTRACE);

	TELL("suture_patch_table", sizeof(struct suture_patch_table));
	TELL_PLACE(suture_patch_table, magic);
	TELL_PLACE(suture_patch_table, version);
	TELL_PLACE(suture_patch_table, redirect_count);
	TELL_PLACE(suture_patch_table, build_id_size);
	TELL_PLACE(suture_patch_table, build_id_address);
	TELL_PLACE(suture_patch_table, build_id);
	TELL_PLACE(suture_patch_table, redirects);

	TELL("suture_redirect", sizeof(struct suture_redirect));
	TELL_PLACE(suture_redirect, old_name);
	TELL_PLACE(suture_redirect, old_address);
	TELL_PLACE(suture_redirect, old_size);
	TELL_PLACE(suture_redirect, old_words);
	TELL_PLACE(suture_redirect, masked);
	TELL_PLACE(suture_redirect, masked_count);
	TELL_PLACE(suture_redirect, ip);
	TELL_PLACE(suture_redirect, new_function);
	TELL_PLACE(suture_redirect, stub);
	TELL_PLACE(suture_redirect, stub_size);
	TELL_PLACE(suture_redirect, way);
}
