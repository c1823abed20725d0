// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether an old function is the one that a patch was made for: where kallsyms has
 * it, and its instructions but for those that the kernel rewrites itself.
 */
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/preempt.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "bound.h"
#include "suture-arch.h"
#include "suture.h"

/*
 * What starts at @address: its name, valid until the next call, its size in bytes,
 * and the module that it is in, "" for the kernel. False if nothing starts there;
 * @name says what is there instead.
 */
static bool find_symbol(unsigned long address, const char **name,
			unsigned long *size, const char **module)
{
	static char symbol[KSYM_SYMBOL_LEN];	/* too big for the stack */
	unsigned long offset;
	char *place;
	int end = 0;

	/* name+0xoffset/0xsize, and for modules a space and [module]. */
	sprint_symbol(symbol, address);
	*name = symbol;
	place = strrchr(symbol, '+');
	if (!place || sscanf(place, "+%lx/%lx%n", &offset, size, &end) != 2 ||
	    offset)
		return false;
	*module = place + end;
	*place = '\0';
	return true;
}

/**
 * suture_symbol_size() - the size of a function
 * @address:	of its start, or a pointer to it; on PowerPC its global entry
 *
 * Return: in bytes, up to the next symbol; 0 if no symbol is there.
 */
unsigned long suture_symbol_size(unsigned long address)
{
	const char *name, *module;
	unsigned long size;

	return find_symbol(arch_code_address(address), &name, &size, &module) ? size : 0;
}

/*
 * The instruction at @address; under a kprobe's breakpoint, what is there without it, and
 * where an older patch has put a branch, what the kernel has there itself.
 */
static bool read_word(const u32 *address, u32 *word)
{
	if (suture_entry_word((unsigned long)address, word))
		return true;
#ifdef CONFIG_KPROBES
	bool probed;

	preempt_disable();
	probed = arch_word_under_kprobe(address, word);
	preempt_enable();
	if (probed)
		return true;
#endif
	return !get_kernel_nofault(*word, address);
}

/* The old function's instructions, those aside that the kernel rewrites. */
static int check_words(const struct module *mod,
		       const struct suture_redirect *redirect,
		       unsigned long address, unsigned long least)
{
	const u32 *old = (const u32 *)address;
	unsigned long words = redirect->old_size / sizeof(u32);
	unsigned long site = redirect->site / sizeof(u32);
	unsigned long i, masked = 0, compared = 0;
	u32 running;

	for (i = 0; i < words; i++) {
		if (masked < redirect->masked_count &&
		    redirect->masked[masked] == i) {
			masked++;
			continue;
		}
		if (i == site && redirect->way == SUTURE_WAY_FTRACE)
			continue;
		if (!read_word(old + i, &running)) {
			suture_refuse(mod, "'%s': its instructions at %#lx cannot be read",
				      redirect->old_name, (unsigned long)(old + i));
			return -EINVAL;
		}
		if (running != redirect->old_words[i]) {
			suture_refuse(mod, "'%s': not the function that the patch was made for: %#010x instead of %#010x at +%#lx",
				      redirect->old_name, running,
				      redirect->old_words[i], i * sizeof(u32));
			return -EINVAL;
		}
		compared++;
	}
	if (compared < least) {
		suture_refuse(mod, "'%s': only %lu of its %lu instructions can be compared, and %lu of them must be",
			      redirect->old_name, compared, words, least);
		return -EINVAL;
	}
	return 0;
}

/*
 * Of a function of which the table knows less than there is, the rest would neither be
 * compared nor looked for on stacks. A table has whole words, and Thumb-2 code may end in the
 * middle of one.
 */
static int check_size(const struct module *mod, const struct suture_redirect *redirect,
		      unsigned long least, unsigned long most)
{
	unsigned long size = redirect->old_size;

	if (size >= least && size <= ALIGN(most, sizeof(u32)))
		return 0;
	suture_refuse(mod, "'%s': made for %lu bytes, in this kernel it has %lu",
		      redirect->old_name, size, size < least ? least : most);
	return -EINVAL;
}

/**
 * suture_check_module_function() - whether a function is the one to be replaced
 * @mod:	of the patch, for messages
 * @redirect:	its pointers checked
 * @address:	where the function starts, in a module that has the right build id
 * @size:	of its symbol, in bytes, or 0 if that does not tell
 * @most:	what that module has there at most, in bytes: what follows a function may have
 *		no name, and is compared with it
 *
 * Most of a module's words may be relocated, so one that is compared is enough: the
 * build id says what module it is.
 *
 * Return: 0, or -EINVAL after the reason went to the log.
 */
int suture_check_module_function(const struct module *mod,
				 const struct suture_redirect *redirect,
				 unsigned long address, unsigned long size,
				 unsigned long most)
{
	return check_size(mod, redirect, size, most) ?:
	       check_words(mod, redirect, address, 1);
}

/**
 * suture_check_kernel_function() - the same for a function of the kernel itself
 * @mod:	of the patch, for messages
 * @redirect:	its pointers checked
 *
 * The kernel's own kallsyms must have a function of the kernel at the address. Of
 * several names at one address kallsyms tells one, which need not be the table's:
 * both are looked up among those that cannot be patched. Half of the instructions
 * must be compared: with most of them aside, any function would do.
 *
 * Return: 0, or an error after the reason went to the log.
 */
int suture_check_kernel_function(const struct module *mod,
				 const struct suture_redirect *redirect)
{
	const char *name, *module;
	unsigned long size;

	if (!find_symbol(redirect->old_address, &name, &size, &module) ||
	    *module) {
		suture_refuse(mod, "'%s': this kernel has no function at %#lx but %s",
			      redirect->old_name, redirect->old_address, name);
		return -EINVAL;
	}
	if (suture_is_never_left(name) ||
	    suture_is_never_left(redirect->old_name)) {
		suture_refuse(mod, "'%s' (%s): some task may always be inside it, unseen, so it cannot be patched",
			      redirect->old_name, name);
		return -EOPNOTSUPP;
	}
	return check_size(mod, redirect, size, size) ?:
	       check_words(mod, redirect, redirect->old_address,
			   DIV_ROUND_UP(size / sizeof(u32), 2));
}
