// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which code a transition leaves.
 *
 * Towards the patched state: what the patch's functions take the place of, so the
 * function below each in its stack. Of patches that are replaced the whole modules,
 * which can be removed afterwards.
 *
 * Towards the unpatched state: the whole module of the patch, for the same reason,
 * and the old functions that its nops lead to.
 *
 * A whole module, because what a new function has called by a sibling call is found
 * on a stack without the new function. It is named by function as far as possible. With
 * it go its islands (islands.c).
 */
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "suture-arch.h"
#include "suture.h"

/* For suture_inside(); it reads this with the machine stopped. */
struct suture_codes suture_codes;

/* The same, to be written, and how many there is room for. */
static struct suture_code *codes;
static unsigned int room;

/**
 * suture_make_codes() - makes room for all that suture_fill_codes() can write
 * @patch:	the patch of the transition, in the list
 *
 * Also for objects that are not loaded yet.
 *
 * Return: 0 or -ENOMEM.
 */
int suture_make_codes(struct klp_patch *patch)
{
	struct klp_patch *other;
	struct klp_object *obj;
	struct klp_func *func;

	/* For register_kprobe(). */
	room = 1;
	klp_for_each_patch(other) {
		/* Gaps in a text: before, between and behind its functions. */
		room++;
		klp_for_each_object(other, obj) {
			/* A new function, its stub, a gap behind each; an island. */
			klp_for_each_func(obj, func)
				room += 5;
		}
	}
	codes = suture_out_of_memory() ? NULL :
		kvcalloc(room, sizeof(*codes), GFP_KERNEL);
	suture_codes.codes = codes;
	suture_codes.count = 0;
	return codes ? 0 : -ENOMEM;
}

void suture_free_codes(void)
{
	suture_codes.codes = NULL;
	suture_codes.count = 0;
	kvfree(codes);
	codes = NULL;
}

static void add(unsigned long start, unsigned long end, const char *name)
{
	if (start >= end || WARN_ON_ONCE(suture_codes.count == room))
		return;
	codes[suture_codes.count++] = (struct suture_code){ start, end, name };
}

static void add_old(const struct klp_func *func)
{
	unsigned long start = (unsigned long)func->old_func;

	add(start, start + func->old_size, func->old_name);
}

static void add_new(const struct klp_func *func)
{
	unsigned long start = arch_code_address((unsigned long)func->new_func);
	unsigned long stub = arch_code_address(suture_stub(func));

	add(start, start + func->new_size, func->old_name);
	add(stub, stub + func->redirect->stub_size, func->old_name);
}

static int by_start(const void *a, const void *b)
{
	const struct suture_code *one = a, *other = b;

	return one->start < other->start ? -1 : one->start > other->start;
}

static void add_island(const struct klp_func *func)
{
	add(func->island, func->island + func->island_size, func->old_name);
}

/* Sorts what was added since @first, and leaves each address to one of them. */
static void put_in_order(unsigned int first)
{
	unsigned long end = 0;
	unsigned int i, count = first;

	sort(codes + first, suture_codes.count - first, sizeof(*codes), by_start,
	     NULL);
	for (i = first; i < suture_codes.count; i++) {
		codes[i].start = max(codes[i].start, end);
		if (codes[i].start >= codes[i].end)
			continue;
		end = codes[i].end;
		codes[count++] = codes[i];
	}
	suture_codes.count = count;
}

/* All code of a patch's module. */
static void add_text(const struct klp_patch *patch)
{
	struct suture_range text = suture_text(patch->mod);
	unsigned long end = text.start;
	unsigned int i, count, first = suture_codes.count;
	struct klp_object *obj;
	struct klp_func *func;

	klp_for_each_object(patch, obj) {
		klp_for_each_func(obj, func) {
			if (!func->nop)
				add_new(func);
		}
	}
	put_in_order(first);
	count = suture_codes.count;
	for (i = first; i < count; i++) {
		add(end, codes[i].start, patch->mod->name);
		end = codes[i].end;
	}
	add(end, text.end, patch->mod->name);

	klp_for_each_object(patch, obj) {
		klp_for_each_func(obj, func)
			add_island(func);
	}
}

/* What is called where a patch's functions are not. */
static void add_below(const struct klp_patch *patch)
{
	const struct klp_func *below;
	struct klp_object *obj;
	struct klp_func *func;

	klp_for_each_object(patch, obj) {
		klp_for_each_func(obj, func) {
			if (!func->patched)
				continue;
			below = suture_func_below(func);
			if (!below) {
				add_old(func);
			} else if (!patch->replace) {
				add_new(below);
				add_island(below);
			}
		}
	}
}

static void add_replaced(const struct klp_patch *patch)
{
	const struct klp_patch *old;

	klp_for_each_patch(old) {
		if (old == patch)
			return;
		add_text(old);
	}
}

static void add_nops(const struct klp_patch *patch)
{
	struct klp_object *obj;
	struct klp_func *func;

	klp_for_each_object(patch, obj) {
		klp_for_each_func(obj, func) {
			if (func->nop && func->patched)
				add_old(func);
		}
	}
}

/* Whoever is inside may have saved a word that is about to be written, unless none can be. */
static void add_register_kprobe(void)
{
#if !SUTURE_LOCKS_KPROBES
	unsigned long start = arch_code_address((unsigned long)register_kprobe);

	add(start, start + suture_symbol_size(start), "register_kprobe");
#endif
}

/**
 * suture_fill_codes() - what must be left on the way to a state
 * @patch:		of the transition, its loaded objects patched
 * @target_state:	KLP_PATCHED or KLP_UNPATCHED
 */
void suture_fill_codes(struct klp_patch *patch, int target_state)
{
	suture_codes.count = 0;
	if (target_state == KLP_PATCHED) {
		add_below(patch);
		if (patch->replace)
			add_replaced(patch);
	} else {
		add_text(patch);
		add_nops(patch);
	}
	if (suture_is_strict(patch))
		add_register_kprobe();
	put_in_order(0);
	suture_mark_pages(&suture_codes);
}
