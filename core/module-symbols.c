// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a module has what a patch names in it.
 *
 * A module that is COMING, its init not begun, has its whole symbol table, by
 * run-time addresses. Once it is LIVE a kernel without KALLSYMS_ALL keeps only the
 * symbols of code, but then it tells where the sections are: through sysfs, by a
 * structure of its own. That is believed only after it has been found to be what it
 * should be, and an address only if the module has memory there.
 *
 * Callers see to it that the module does not go meanwhile: suture_mutex is held, and
 * the notifier of modules that go waits for it.
 */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>

#include "suture.h"

#define NT_GNU_BUILD_ID	3

/* Whether @size bytes at @address lie in the part of the module that stays. */
static bool is_in_module(const struct module *mod, unsigned long address,
			 unsigned long size)
{
	unsigned long base = (unsigned long)mod->core_layout.base;

	return address >= base && size <= mod->core_layout.size &&
	       address - base <= mod->core_layout.size - size;
}

static bool is_in_text(const struct module *mod, unsigned long address)
{
	struct suture_range text = suture_text(mod);

	return address >= text.start && address < text.end;
}

#ifndef CONFIG_KALLSYMS
#error a kernel without kallsyms does not know where a function is
#endif

static const char *name_of(const struct mod_kallsyms *kallsyms, const Elf_Sym *symbol)
{
	return kallsyms->strtab + symbol->st_name;
}

/* Names a symbol of code that stays. */
static bool is_function(const struct module *mod, const struct mod_kallsyms *kallsyms,
			const Elf_Sym *symbol, const char *name)
{
	return symbol->st_shndx != SHN_UNDEF && is_in_text(mod, symbol->st_value) &&
	       ELF_ST_TYPE(symbol->st_info) != STT_SECTION &&
	       !strcmp(name_of(kallsyms, symbol), name);
}

/**
 * suture_module_symbol() - finds a function of a module by its name
 * @mod:	COMING or LIVE
 * @name:	of the function, its init left out
 * @sympos:	which one of that name, counted from 1 in the order of the symbol table;
 *		0: the only one
 * @address:	gets a pointer to it; on ppc64le to its global entry
 * @size:	in bytes, as its symbol has it; 0 if that does not tell
 *
 * Only code counts, also while the whole table is there: so the position is the same
 * for a module that comes and for one that is there.
 *
 * Return: 0; -ENOENT if there is none, or fewer; -EEXIST if @sympos is 0 and there
 * are several.
 */
int suture_module_symbol(struct module *mod, const char *name, unsigned long sympos,
			 unsigned long *address, unsigned long *size)
{
	const struct mod_kallsyms *kallsyms;
	unsigned long found = 0;
	unsigned int i;

	preempt_disable();
	kallsyms = rcu_dereference_sched(mod->kallsyms);
	for (i = 0; i < kallsyms->num_symtab; i++) {
		const Elf_Sym *symbol = &kallsyms->symtab[i];

		if (!is_function(mod, kallsyms, symbol, name))
			continue;
		found++;
		if (sympos <= 1 ? found == 1 : found == sympos) {
			*address = symbol->st_value;
			*size = symbol->st_size;
		}
	}
	preempt_enable();

	if (!found || found < sympos)
		return -ENOENT;
	return !sympos && found > 1 ? -EEXIST : 0;
}

/* ---- sections of a module that is live ---- */

/* What kernel/module/sysfs.c (Linux 6.1) keeps of a section. */
struct section_attribute {
	struct bin_attribute file;
	unsigned long address;
};

/* "0x", a digit for each four bits of an address, and a line feed. */
#define SECTION_FILE_SIZE	(3 + BITS_PER_LONG / 4)

/* More sections than any module has. */
#define MOST_SECTIONS		4096

static bool has_text(const char *name, const char *text)
{
	char read[128];
	size_t size = strlen(text) + 1;

	return size <= sizeof(read) && !copy_from_kernel_nofault(read, name, size) &&
	       !memcmp(read, text, size);
}

/*
 * The group of files is the first in the structure: its list leads to the sections,
 * which stand one behind the other, all alike but for name and address.
 */
static unsigned long address_in_sysfs(const struct module *mod, const char *section)
{
	const struct attribute_group *attributes = (const void *)mod->sect_attrs;
	struct section_attribute one, first;
	struct bin_attribute *at, *start = NULL;
	struct attribute_group group;
	unsigned long address = 0;
	unsigned int i;

	if (!attributes ||
	    copy_from_kernel_nofault(&group, attributes, sizeof(group)) ||
	    !has_text(group.name, "sections"))
		return 0;
	for (i = 0; i < MOST_SECTIONS; i++) {
		if (get_kernel_nofault(at, group.bin_attrs + i))
			return 0;
		if (!at)
			return address;
		if (copy_from_kernel_nofault(&one, at, sizeof(one)))
			return 0;
		if (!start) {
			start = at;
			first = one;
		}
		if ((void *)at != (void *)start + i * sizeof(one) ||
		    one.file.size != SECTION_FILE_SIZE ||
		    one.file.read != first.file.read)
			return 0;
		if (has_text(one.file.attr.name, section)) {
			/* Two of one name: either may be meant. */
			if (address)
				return 0;
			address = one.address;
		}
	}
	return 0;
}

/**
 * suture_module_section() - where a section of a module is
 * @mod:	LIVE; one that is COMING does not know the names of its sections yet
 * @section:	its name in the module's file
 *
 * Return: its run-time address; 0 if it is not known, or not in the module's memory.
 */
unsigned long suture_module_section(struct module *mod, const char *section)
{
	unsigned long address = address_in_sysfs(mod, section);

	return is_in_module(mod, address, 0) ? address : 0;
}

/* ---- what a recipe refers to ---- */

/* Where the section of that index is, if it has a symbol of its own; else 0. */
static unsigned long section_of_index(const struct mod_kallsyms *kallsyms,
				      unsigned int index)
{
	unsigned int i;

	for (i = 0; i < kallsyms->num_symtab; i++) {
		const Elf_Sym *symbol = &kallsyms->symtab[i];

		if (ELF_ST_TYPE(symbol->st_info) == STT_SECTION &&
		    symbol->st_shndx == index)
			return symbol->st_value;
	}
	return 0;
}

/* By name among all symbols; of several, the one at that offset in its section. */
static int find_in_whole_table(struct module *mod, const struct suture_recipe *recipe,
			       unsigned long *address)
{
	const struct mod_kallsyms *kallsyms;
	unsigned int i, found = 0;

	if (!*recipe->symbol)
		return -ENOENT;
	preempt_disable();
	kallsyms = rcu_dereference_sched(mod->kallsyms);
	for (i = 0; i < kallsyms->num_symtab; i++) {
		const Elf_Sym *symbol = &kallsyms->symtab[i];
		unsigned long section;

		if (symbol->st_shndx == SHN_UNDEF ||
		    symbol->st_shndx >= SHN_LORESERVE ||
		    strcmp(name_of(kallsyms, symbol), recipe->symbol))
			continue;
		section = section_of_index(kallsyms, symbol->st_shndx);
		if (section && symbol->st_value - section != recipe->offset)
			continue;
		found++;
		*address = symbol->st_value;
	}
	preempt_enable();
	return found > 1 ? -EEXIST : found ? 0 : -ENOENT;
}

/**
 * suture_recipe_target() - where a module has what a recipe refers to
 * @mod:	COMING or LIVE
 * @recipe:	checked
 * @address:	its run-time address, in the part of the module that stays
 *
 * Return: 0; -ENOENT if it is not there or cannot be found; -EEXIST if it may be one
 * of several.
 */
int suture_recipe_target(struct module *mod, const struct suture_recipe *recipe,
			 unsigned long *address)
{
	unsigned long section, size;
	int ret = 0;

	if (!recipe->section) {
		ret = suture_module_symbol(mod, recipe->symbol, recipe->sympos, address,
					   &size);
	} else if (mod->state == MODULE_STATE_COMING) {
		ret = find_in_whole_table(mod, recipe, address);
	} else {
		section = suture_module_section(mod, recipe->section);
		if (!section)
			return -ENOENT;
		*address = section + recipe->offset;
	}
	/* The end of a section is a place too. */
	if (!ret && !is_in_module(mod, *address, 0))
		ret = -ENOENT;
	return ret;
}

/* ---- build id ---- */

/**
 * suture_module_has_build_id() - whether a module is of a build
 * @mod:	COMING or LIVE
 * @id:		the build id
 * @size:	in bytes, at most SUTURE_MAX_BUILD_ID
 *
 * Looks for the note (elf(5)) in the module's read-only data.
 */
bool suture_module_has_build_id(const struct module *mod, const u8 *id,
				unsigned int size)
{
	struct {
		Elf32_Nhdr header;
		char name[4];
		u8 id[SUTURE_MAX_BUILD_ID];
	} note = {
		.header = { sizeof(note.name), size, NT_GNU_BUILD_ID },
		.name = "GNU",
	};
	unsigned long length = offsetof(typeof(note), id) + size;
	const void *at = mod->core_layout.base + mod->core_layout.text_size;
	const void *end = mod->core_layout.base + mod->core_layout.ro_size;

	if (!size || size > sizeof(note.id))
		return false;
	memcpy(note.id, id, size);
	for (; at + length <= end; at += sizeof(u32)) {
		if (!memcmp(at, &note, length))
			return true;
	}
	return false;
}
