// SPDX-License-Identifier: GPL-2.0-only
/*
 * The entry way: one word at a function's entry becomes a branch to its stub.
 *
 * There is no handler that could tell tasks apart, so no task can be a laggard: with the
 * machine stopped all words of a patch are written if nobody is inside the code that is
 * left, and else none (laggards.c). This holds for the whole of a patch of which one
 * function is redirected so, for every task uses either all of its functions or none.
 *
 * The word at an entry is always that of the newest function in its stack that tasks use:
 * its branch, or for a nop, and without one, the kernel's own word. Before it is written
 * it must be what was written last: anything else is somebody else's, and is left alone.
 * A kprobe there has saved the word, and would go on executing it; so while there is one,
 * nothing is written. Who is just making one is inside register_kprobe(), and waited for.
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

/*
 * Whether a kprobe is on a word: on any of its bytes, since in Thumb code instructions begin
 * at halfwords, and a kprobe's address may have bit 0 set as pointers to functions have.
 */
static bool is_probed(unsigned long address)
{
	bool probed = false;
#ifdef CONFIG_KPROBES
	unsigned int i;

	preempt_disable();
	for (i = 0; !probed && i < sizeof(u32); i++)
		probed = get_kprobe((void *)(address + i));
	preempt_enable();
#endif
	return probed;
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

	if (is_probed(site->ip)) {
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

/* ---- writing ---- */

/* What is to be at a site by its stack, and by which of its functions tasks use. */
static u32 wanted_word(const struct suture_site *site)
{
	const struct klp_func *func;

	list_for_each_entry(func, &site->funcs, stack_node) {
		if (!func->transition || suture_are_looked_at(KLP_PATCHED))
			return func->nop ? site->old_word : func->branch;
	}
	return site->old_word;
}

/* Whether a function's site is to get another word. */
static bool changes(const struct klp_func *func)
{
	return func->patched && func->site->is_entry &&
	       wanted_word(func->site) != func->site->word;
}

static int check_site(const struct suture_site *site)
{
	if (is_probed(site->ip))
		return -EBUSY;
	return READ_ONCE(*(u32 *)site->ip) == site->word ? 0 : -EINVAL;
}

static int write_word(struct suture_site *site, u32 word)
{
	int ret = arch_write_text((u32 *)site->ip, word);

	if (!ret)
		site->word = word;
	return ret;
}

/* What was written of an object, up to and without @end, becomes what it was. */
static void take_back(struct klp_object *obj, const struct klp_func *end)
{
	struct klp_func *func;

	klp_for_each_func(obj, func) {
		if (func == end)
			return;
		if (func->patched && func->site->is_entry)
			write_word(func->site, func->site->word_before);
	}
}

static int check_object(struct klp_object *obj)
{
	struct klp_func *func;
	int ret;

	klp_for_each_func(obj, func) {
		ret = changes(func) ? check_site(func->site) : 0;
		if (ret)
			return ret;
	}
	return 0;
}

static int write_object(struct klp_object *obj)
{
	struct klp_func *func;
	int ret;

	klp_for_each_func(obj, func) {
		if (!func->patched || !func->site->is_entry)
			continue;
		func->site->word_before = func->site->word;
		ret = changes(func) ? write_word(func->site, wanted_word(func->site)) : 0;
		if (ret) {
			take_back(obj, func);
			return ret;
		}
	}
	return 0;
}

/**
 * suture_write_entries() - writes the words that tasks are to find at a patch's entries
 * @patch:	in transition, or NULL, and then nothing is done
 *
 * Under suture_stop_machine(), tasks being in the new state already.
 *
 * Return: 0; else nothing is written: -EBUSY if there is a kprobe, -EINVAL if somebody else
 * has written there, or why text cannot be written.
 */
int suture_write_entries(struct klp_patch *patch)
{
	struct klp_object *obj, *done;
	int ret = 0;

	if (!patch)
		return 0;
	klp_for_each_object(patch, obj) {
		if (obj->patched)
			ret = check_object(obj);
		if (ret)
			return ret;
	}
	klp_for_each_object(patch, obj) {
		if (obj->patched)
			ret = write_object(obj);
		if (!ret)
			continue;
		klp_for_each_object(patch, done) {
			if (done == obj)
				break;
			if (done->patched)
				take_back(done, NULL);
		}
		break;
	}
	return ret;
}

static int write_one(void *data)
{
	int ret = check_object(data);

	return ret ?: write_object(data);
}

/**
 * suture_write_object() - the same for one object that has just come
 * @obj:	nobody has called anything of it yet; its functions are in their stacks
 *
 * Return: 0, or an error and nothing is written.
 */
int suture_write_object(struct klp_object *obj)
{
	struct klp_func *func;

	klp_for_each_func(obj, func) {
		if (changes(func))
			return suture_stop_machine(write_one, obj);
	}
	return 0;
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
			    is_probed(func->site->ip))
				return func;
		}
	}
	return NULL;
}
