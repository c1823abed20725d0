// SPDX-License-Identifier: GPL-2.0-only
/*
 * Islands: where a branch at a function's entry does not reach the stub, it leads to a few
 * words in between, which go on.
 *
 * They stand in rooms that a branch of the kernel's text reaches and that nothing else
 * uses (suture-arch.h). Every word of a room is the same while no island is there; a word
 * that is not is left alone. An island is written before anything leads to it, and its
 * words are given back when nobody can be inside: both while others run, since nobody
 * executes them.
 *
 * With suture_mutex held.
 */
#include <linux/bitmap.h>
#include <linux/kernel.h>
#include <linux/sizes.h>
#include <linux/stringify.h>
#include <linux/uaccess.h>

#include "suture-arch.h"
#include "suture.h"

/* Of each room so many words are used at most. */
#define ROOM_WORDS	SZ_64K

#ifdef ARCH_OWN_ISLANDS
asm(".pushsection .text.suture_islands, \"ax\"\n"
    "	.balign	4\n"
    "	.globl	suture_own_islands\n"
    "suture_own_islands:\n"
    "	.fill	" __stringify(ARCH_OWN_ISLANDS) ", 4, " __stringify(ARCH_ISLAND_FILL) "\n"
    ".popsection");
#endif

static DECLARE_BITMAP(taken, ARCH_ISLAND_ROOMS * ROOM_WORDS);

/* The words of a room: where they start, and how many there are. */
static unsigned long room_start(unsigned int room, unsigned long *words)
{
	unsigned long start, end;

	arch_island_room(room, &start, &end);
	start = ALIGN(start, sizeof(u32));
	*words = end > start ? min_t(unsigned long, (end - start) / sizeof(u32), ROOM_WORDS) : 0;
	return start;
}

static bool is_free(unsigned long address, unsigned int count)
{
	u32 word;

	for (; count--; address += sizeof(u32)) {
		if (get_kernel_nofault(word, (u32 *)address) || word != ARCH_ISLAND_FILL)
			return false;
	}
	return true;
}

/* Whether the words can be written; then they are. */
static bool write_words(const struct suture_entry *entry, unsigned long address,
			unsigned long target)
{
	u64 rest = target;
	u32 i, word;

	for (i = 0; i < entry->island_count; i++) {
		word = suture_put_field(entry->island_words[i], entry->island_fields[i],
					target);
		if (arch_write_text((u32 *)address + i, word))
			return false;
		rest &= ~suture_field_mask(entry->island_fields[i]);
	}
	return !rest;
}

/**
 * suture_get_island() - makes an island
 * @entry:	says what its words are
 * @from:	where the branch is that leads there
 * @target:	where the island goes on
 *
 * Return: its address, or 0 if there is no room that the branch reaches, or the target
 * is not one that the words can hold.
 */
unsigned long suture_get_island(const struct suture_entry *entry, unsigned long from,
				unsigned long target)
{
	unsigned long words, start, address, at, first;
	unsigned int room, count = entry->island_count;
	u32 branch;

	if (!count)
		return 0;
	for (room = 0; room < ARCH_ISLAND_ROOMS; room++) {
		start = room_start(room, &words);
		first = room * ROOM_WORDS;
		at = first;
		for (;;) {
			at = bitmap_find_next_zero_area(taken, first + words, at, count, 0);
			if (at >= first + words)
				break;
			address = start + (at - first) * sizeof(u32);
			if (!suture_make_branch(entry, from, address, &branch) ||
			    !is_free(address, count)) {
				at++;
				continue;
			}
			bitmap_set(taken, at, count);
			if (write_words(entry, address, target))
				return address;
			suture_put_island(address, count * sizeof(u32));
			return 0;
		}
	}
	return 0;
}

/**
 * suture_put_island() - gives the room of an island back
 * @address:	of the island
 * @size:	in bytes
 *
 * Nothing leads there any more.
 */
void suture_put_island(unsigned long address, unsigned long size)
{
	unsigned long words, start, at, count = size / sizeof(u32), i;
	unsigned int room;

	for (i = 0; i < count; i++)
		arch_write_text((u32 *)address + i, ARCH_ISLAND_FILL);
	for (room = 0; room < ARCH_ISLAND_ROOMS; room++) {
		start = room_start(room, &words);
		at = (address - start) / sizeof(u32);
		if (address >= start && at < words)
			bitmap_clear(taken, room * ROOM_WORDS + at, count);
	}
}
