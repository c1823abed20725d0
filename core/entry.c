// SPDX-License-Identifier: GPL-2.0-only
/*
 * The entry way: one word at a function's entry becomes a branch to its stub.
 *
 * There is no handler that could tell tasks apart, so no task can be a laggard: with the
 * machine stopped all words of a patch are written (entry-words.c) if nobody is inside the
 * code that is left, and else none (laggards.c). This holds for the whole of a patch of which
 * one function is redirected so, for every task uses either all of its functions or none.
 *
 * The word at an entry is always that of the newest function in its stack that tasks use:
 * its branch, or for a nop, and without one, the kernel's own word. Before it is written
 * it must be what was written last: anything else is somebody else's, and is left alone.
 * A kprobe there has saved the word, and would go on executing it; so while there is one,
 * nothing is written, and none is made meanwhile (suture_lock_kprobes()).
 *
 * All with suture_mutex held. What a branch and an island are to the processor, src/arch
 * knows; here they are arithmetic (include/suture/patch-table.h).
 */
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/uaccess.h>

#include "bound.h"
#include "suture-arch.h"
#include "suture.h"

/* The table's word for a function; a nop goes the way of what it hides. */
static const struct suture_redirect *redirect_of(const struct klp_func *func)
{
	return func->nop ? func->replaced->redirect : func->redirect;
}

bool suture_is_entry(const struct klp_func *func)
{
	return redirect_of(func)->way == SUTURE_WAY_ENTRY;
}

/**
 * suture_is_strict() - whether all tasks must switch to or from a patch at once
 * @patch:	its objects and functions are in their lists
 */
bool suture_is_strict(const struct klp_patch *patch)
{
	struct klp_object *obj;
	struct klp_func *func;

	klp_for_each_object(patch, obj) {
		klp_for_each_func(obj, func) {
			if (suture_is_entry(func))
				return true;
		}
	}
	return false;
}

/* ---- the table ---- */

/**
 * suture_entry_is_sound() - whether a table says what a branch and an island are
 * @entry:	in the module's memory, and so are its lists
 */
bool suture_entry_is_sound(const struct suture_entry *entry)
{
	u32 i;

	if (!entry->branch_range || entry->branch_range > BITS_PER_LONG ||
	    entry->branch_shift > 31 || entry->island_always > 1 ||
	    !entry->branch_fields[0])
		return false;
	for (i = 0; i < SUTURE_BRANCH_FIELDS; i++) {
		if (entry->branch_fields[i] &&
		    !suture_field_is_sound(entry->branch_fields[i], sizeof(u32)))
			return false;
	}
	for (i = 0; i < entry->island_count; i++) {
		if (entry->island_fields[i] &&
		    !suture_field_is_sound(entry->island_fields[i], sizeof(u32)))
			return false;
	}
	return true;
}

/**
 * suture_make_branch() - makes the branch from one place to another
 * @entry:	says what a branch is
 * @from:	where it is
 * @to:		where it leads
 * @word:	gets the branch
 *
 * Return: false if it does not reach.
 */
bool suture_make_branch(const struct suture_entry *entry, unsigned long from,
			unsigned long to, u32 *word)
{
	s64 distance = (long)(to + (s32)entry->branch_addend - from);
	u32 i, branch = entry->branch;

	if (!suture_fits(distance, entry->branch_range))
		return false;
	for (i = 0; i < SUTURE_BRANCH_FIELDS; i++)
		branch = suture_put_field(branch, entry->branch_fields[i],
					  distance >> entry->branch_shift);
	*word = distance < 0 ? branch : branch ^ entry->branch_flip;
	return true;
}

/* ---- getting ready ---- */

/* Whether a kprobe is on a word, wherever in it one can be. */
bool suture_is_probed(unsigned long address)
{
	bool probed = false;
#ifdef CONFIG_KPROBES
	unsigned int i;

	preempt_disable();
	for (i = 0; !probed && i < sizeof(u32); i += ARCH_PROBE_STEP)
		probed = get_kprobe((void *)(address + i));
	preempt_enable();
#endif
	return probed;
}

/**
 * suture_lock_kprobes() - keeps kprobes from being made, armed, disarmed and removed
 *
 * kprobe_mutex is data, whose address kallsyms may not have; so it is taken by the functions
 * that do so for a file in debugfs, and nothing else that matters here (kernel/kprobes.c,
 * Linux 6.1). Nothing at all unless SUTURE_LOCKS_KPROBES.
 */
void suture_lock_kprobes(void)
{
#ifdef SUTURE_BINDS_KPROBE_MUTEX
	loff_t first = 0;

	kprobe_blacklist_seq_start(NULL, &first);
#endif
}

void suture_unlock_kprobes(void)
{
#ifdef SUTURE_BINDS_KPROBE_MUTEX
	kprobe_blacklist_seq_stop(NULL, NULL);
#endif
}

/**
 * suture_get_branch() - makes the branch to a function's stub, and the island that it takes
 * @patch:	of the function, for its table and for messages
 * @func:	has its site, of the entry way
 *
 * Return: 0, or an error after the reason went to the log:
 *   -EBUSY	a kprobe is where the branch goes
 *   -ERANGE	the stub is out of reach
 *   -EINVAL	another word is there than ours or the kernel's own
 */
int suture_get_branch(struct klp_patch *patch, struct klp_func *func)
{
	const struct suture_entry *entry = patch->table->entry;
	const struct suture_site *site = func->site;
	unsigned long stub = suture_stub(func);
	u32 found;

	if (suture_is_probed(site->ip)) {
		suture_refuse(patch->mod, "'%s': a kprobe is on its entry (%#lx): remove it first, it may be put there again behind the branch",
			      func->old_name, site->ip);
		return -EBUSY;
	}
	if (get_kernel_nofault(found, (u32 *)site->ip) || found != site->word) {
		suture_refuse(patch->mod, "'%s': somebody else has changed its entry: %#010x instead of %#010x at %#lx",
			      func->old_name, found, site->word, site->ip);
		return -EINVAL;
	}
	if (!entry->island_always &&
	    suture_make_branch(entry, site->ip, stub, &func->branch))
		return 0;
	func->island = suture_get_island(entry, site->ip, stub);
	func->island_size = entry->island_count * sizeof(u32);
	if (func->island &&
	    suture_make_branch(entry, site->ip, func->island, &func->branch))
		return 0;
	suture_refuse(patch->mod, "'%s': no branch at %#lx reaches %#lx, and there is no room left within its reach for one that goes on",
		      func->old_name, site->ip, stub);
	return -ERANGE;
}

/* Takes back what suture_get_branch() did, if it did; nobody is in the island any more. */
void suture_put_branch(struct klp_func *func)
{
	if (func->island)
		suture_put_island(func->island, func->island_size);
	func->island = 0;
	func->island_size = 0;
}

/**
 * suture_entry_word() - what is written at an address in the entry way
 * @address:	of a word
 * @word:	gets the word that the kernel has there itself
 *
 * Return: false if nothing is.
 */
bool suture_entry_word(unsigned long address, u32 *word)
{
	const struct suture_site *site = suture_find_site(address);

	if (!site || !site->is_entry)
		return false;
	*word = site->old_word;
	return true;
}

/**
 * suture_find_probed() - finds a function whose entry cannot be given back now
 * @patch:	in force
 *
 * Return: a function that is the newest at its entry, with a kprobe there, or NULL.
 */
const struct klp_func *suture_find_probed(struct klp_patch *patch)
{
	struct klp_object *obj;
	struct klp_func *func;

	klp_for_each_object(patch, obj) {
		klp_for_each_func(obj, func) {
			if (func->patched && func->site->is_entry &&
			    list_first_entry(&func->site->funcs, struct klp_func,
					     stack_node) == func &&
			    suture_is_probed(func->site->ip))
				return func;
		}
	}
	return NULL;
}
