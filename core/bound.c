// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether this is the kernel whose addresses the core was bound to. Asked before any
 * of them is used: in another kernel, something else is there.
 */
#include <linux/elf.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "bound.h"
#include "suture.h"

/* As in glibc's <elf.h>; the kernel's headers have no name for it. */
#define NT_GNU_BUILD_ID	3

/**
 * suture_kernel_has_build_id() - whether this kernel has a build id where it should be
 * @address:	where; need not be readable
 * @id:		what
 * @size:	in bytes, at most SUTURE_MAX_BUILD_ID
 *
 * The build id is the description of a note (elf(5)) that the kernel has of itself.
 */
bool suture_kernel_has_build_id(unsigned long address, const u8 *id, u32 size)
{
	struct {
		Elf32_Nhdr header;
		char name[4];
		u8 id[SUTURE_MAX_BUILD_ID];
	} note;
	unsigned long before = offsetof(typeof(note), id);

	return size && size <= sizeof(note.id) &&
	       !copy_from_kernel_nofault(&note, (void *)(address - before),
					 before + size) &&
	       note.header.n_namesz == sizeof(note.name) &&
	       note.header.n_descsz == size &&
	       note.header.n_type == NT_GNU_BUILD_ID &&
	       !memcmp(note.name, "GNU", sizeof(note.name)) &&
	       !memcmp(note.id, id, size);
}

/**
 * suture_check_core() - whether the core was made for this kernel
 *
 * Return: 0, or -EINVAL after the reason went to the log.
 */
int suture_check_core(void)
{
	const struct suture_core_table *table = &suture_core_table;

	/* What nobody has bound is weak, and so at 0. */
	OPTIMIZER_HIDE_VAR(table);
	if (!table || table->magic != SUTURE_CORE_MAGIC) {
		pr_err("suture: this core was not bound to a kernel: have `suture core` build it\n");
		return -EINVAL;
	}
	if (!suture_kernel_has_build_id(table->build_id_address, table->build_id,
					table->build_id_size)) {
		pr_err("suture: this core was made for another kernel: this one has no build id %*phN at %#lx\n",
		       (int)table->build_id_size, table->build_id,
		       table->build_id_address);
		return -EINVAL;
	}
	return 0;
}
