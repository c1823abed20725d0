// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writing the words at entries: with the machine stopped, all of a patch or none, and in
 * as few instructions as can be.
 *
 * The kernel's own ways to write text (__patch_text_real(), patch_instruction()) map the
 * page anew for each word, which is most of what a word costs. So all pages are mapped
 * before the machine is stopped, beside where they are executed; then a word is a store.
 * Where text is write-protected the kernel maps it likewise, a page for a word, and Xen's
 * livepatch maps all of Xen's own.
 *
 * What can fail is done before: memory, the mapping, and finding out that each word is the one
 * that was written last and has no kprobe. From that check until the words are written no
 * kprobe comes, goes or is armed: kprobe_mutex is held. Nobody else in the kernel writes these
 * words. Who does so all the same, and takes no lock, is found out afterwards, for each word
 * that is replaced is kept: he gets his word back, and the log says that this function is not
 * the patch's as long as he stays. What he puts back then may be the word from before ours.
 *
 * Processors whose caches must be told of each word by itself, and kernels whose kprobe_mutex
 * is out of reach, have the check with the machine stopped.
 *
 * All with suture_mutex held. kprobe_mutex comes below it: nothing calls the core with it held.
 * It is held from suture_prepare_entries() to suture_finish_entries(); what comes below it
 * there is stop_machine() alone, as in the kernel (arm_kprobe()). Who holds it longest is the
 * optimizer of kprobes, over a grace period of RCU's; a transition waits for that.
 */
#include <linux/cacheflush.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>
#include <asm/unaligned.h>

#include "suture-arch.h"
#include "suture.h"

struct entry_word {
	u32 *alias;		/* where it can be written */
	struct suture_site *site;
	u32 word;		/* what it is to become */
	u32 found;		/* what it was when it became that */
};

/* From suture_prepare_entries() to suture_finish_entries(). */
static struct entry_word *words;
static unsigned int word_count;
static struct page **pages;
static void *mapping;

/* ---- which words ---- */

/* What is to be at a site by its stack, when tasks are in a state. */
static u32 wanted_word(const struct suture_site *site, int state)
{
	const struct klp_func *func;

	list_for_each_entry(func, &site->funcs, stack_node) {
		if (!func->transition || state == KLP_PATCHED)
			return func->nop ? site->old_word : func->branch;
	}
	return site->old_word;
}

/* Whether a function's site is to get another word. */
static bool changes(const struct klp_func *func, int state)
{
	return func->patched && func->site->is_entry &&
	       wanted_word(func->site, state) != func->site->word;
}

static unsigned int count_words(struct klp_object *obj, int state)
{
	struct klp_func *func;
	unsigned int count = 0;

	if (!obj->patched)
		return 0;
	klp_for_each_func(obj, func)
		count += changes(func, state);
	return count;
}

static void add_words(struct klp_object *obj, int state)
{
	struct klp_func *func;

	if (!obj->patched)
		return;
	klp_for_each_func(obj, func) {
		struct suture_site *site = func->site;

		if (!changes(func, state))
			continue;
		words[word_count++] = (struct entry_word){
			.site = site,
			.word = wanted_word(site, state),
		};
	}
}

/* ---- where they can be written ---- */

static int by_address(const void *a, const void *b)
{
	const struct entry_word *one = a, *other = b;

	return one->site->ip < other->site->ip ? -1 :
	       one->site->ip > other->site->ip;
}

/* The page that an address of text is in, the kernel's or a module's; or NULL. */
static struct page *text_page(unsigned long address)
{
	return virt_addr_valid((void *)address) ? virt_to_page((void *)address) :
						  vmalloc_to_page((void *)address);
}

/*
 * Maps the pages of all words, each once, in the order of their addresses: so a word that
 * ends in the next page (in Thumb-2 code) does so in the mapping too.
 */
static int map_words(void)
{
	unsigned int i, count = 0;

	sort(words, word_count, sizeof(*words), by_address, NULL);
	for (i = 0; i < word_count; i++) {
		struct entry_word *entry = &words[i];
		unsigned long ip = entry->site->ip;
		struct page *first = text_page(ip);
		struct page *last = text_page(ip + sizeof(u32) - 1);

		if (!first || !last)
			return -EFAULT;
		if (!count || pages[count - 1] != first)
			pages[count++] = first;
		/* An offset in the mapping as yet. */
		entry->alias = (u32 *)((count - 1) * PAGE_SIZE + offset_in_page(ip));
		if (last != first)
			pages[count++] = last;
	}
	mapping = suture_out_of_memory() ? NULL :
		  vmap(pages, count, VM_MAP, PAGE_KERNEL);
	if (!mapping)
		return -ENOMEM;
	for (i = 0; i < word_count; i++)
		words[i].alias = mapping + (unsigned long)words[i].alias;
	return 0;
}

/*
 * What was written at one address is executed at another, and read there. Data caches that go
 * by virtual addresses (ARM before v7) are told of both; for others this is nothing.
 */
static void flush_word(const struct entry_word *entry)
{
	flush_kernel_vmap_range(entry->alias, sizeof(u32));
	flush_kernel_vmap_range((void *)entry->site->ip, sizeof(u32));
}

/*
 * Whether a word that was found is somebody else's: neither the one that was written last nor
 * the one that is wanted, which he may have put back after he had written over it.
 */
static bool is_foreign(const struct entry_word *entry, u32 found)
{
	return found != entry->site->word && found != entry->word;
}

/* Whether a word is nobody else's, and may be written. */
static int check_word(const struct entry_word *entry)
{
	const struct suture_site *site = entry->site;
	u32 found;

	/*
	 * A cache line has other words beside this one. If somebody has written one of them
	 * since the line was read here, it would be written back as it was.
	 */
	flush_word(entry);
	if (suture_is_probed(site->ip))
		return -EBUSY;
	found = get_unaligned((u32 *)site->ip);
	return found == get_unaligned(entry->alias) &&
	       !is_foreign(entry, found) ? 0 : -EINVAL;
}

static int check_words(void)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < word_count; i++)
		ret = check_word(&words[i]);
	return ret;
}

static void forget_words(void)
{
	vunmap(mapping);
	kvfree(pages);
	kvfree(words);
	mapping = NULL;
	pages = NULL;
	words = NULL;
	word_count = 0;
}

/* After the words have been counted; the functions that add them go by the same. */
static int make_room(unsigned int count)
{
	words = suture_out_of_memory() ? NULL :
		kvcalloc(count, sizeof(*words), GFP_KERNEL);
	pages = suture_out_of_memory() ? NULL :
		kvcalloc(count, 2 * sizeof(*pages), GFP_KERNEL);
	return words && pages ? 0 : -ENOMEM;
}

/* The last place of which the log says that somebody else has written there, if he still has. */
static unsigned long told;

/* A transition may wait for it, and nobody would know for what; each second it asks again. */
static void tell_of_foreign(const char *effect)
{
	unsigned int i;

	for (i = 0; i < word_count; i++) {
		const struct suture_site *site = words[i].site;
		u32 found = get_unaligned((u32 *)site->ip);

		if (!is_foreign(&words[i], found) || site->ip == told)
			continue;
		told = site->ip;
		pr_notice("suture: '%s': somebody else has changed its entry: %#010x instead of %#010x at %#lx: %s until that is taken back\n",
			  list_first_entry(&site->funcs, struct klp_func, stack_node)->old_name,
			  found, site->word, site->ip, effect);
	}
}

/* What was added can be written, and kprobe_mutex is held; or it is forgotten. */
static int map_and_check(void)
{
	int ret = map_words();

	if (ret) {
		forget_words();
		return ret;
	}
	suture_lock_kprobes();
	ret = check_words();
	if (!ret) {
		suture_test_checked(words->alias);
		return 0;
	}
	if (ret == -EINVAL)
		tell_of_foreign("nothing is written");
	suture_unlock_kprobes();
	forget_words();
	return ret;
}

/**
 * suture_prepare_entries() - gets ready to write what tasks are to find at a patch's entries
 * @patch:	in transition, or NULL, and then there is nothing to write
 * @state:	in which tasks will be then, KLP_PATCHED or KLP_UNPATCHED
 *
 * To be followed by suture_finish_entries(), unless it fails.
 *
 * Return: 0, -ENOMEM, -EBUSY if there is a kprobe, -EINVAL if somebody else has written
 * there, -EFAULT if there is no page.
 */
int suture_prepare_entries(struct klp_patch *patch, int state)
{
	struct klp_object *obj;
	unsigned int count = 0;

	if (!patch)
		return 0;
	klp_for_each_object(patch, obj)
		count += count_words(obj, state);
	if (!count)
		return 0;
	if (make_room(count)) {
		forget_words();
		return -ENOMEM;
	}
	klp_for_each_object(patch, obj)
		add_words(obj, state);
	return map_and_check();
}

/* ---- with the machine stopped ---- */

/*
 * What is aligned is one store, so that who is not stopped (an NMI) finds one word or the
 * other. Of Thumb-2 code nobody stands behind the first halfword (suture_stop_machine()).
 *
 * Return: the word that was there.
 */
static __always_inline u32 exchange_word(u32 *alias, u32 word)
{
	union {
		u32 word;
		u16 halves[2];
	} found, written = { word };
	u16 *halves = (u16 *)alias;

	if (ARCH_CODE_ALIGN >= sizeof(u32) ||
	    IS_ALIGNED((unsigned long)alias, sizeof(u32))) {
		found.word = READ_ONCE(*alias);
		WRITE_ONCE(*alias, word);
	} else {
		found.halves[0] = READ_ONCE(halves[0]);
		found.halves[1] = READ_ONCE(halves[1]);
		WRITE_ONCE(halves[0], written.halves[0]);
		WRITE_ONCE(halves[1], written.halves[1]);
	}
	return found.word;
}

/*
 * The machine is stopped in the page tables of whoever was running, and where those get the
 * kernel's only by a fault (ARM), it is taken here: not between two words.
 */
static void touch_mapping(void)
{
	const char *at, *last = (const char *)words[word_count - 1].alias;

	for (at = mapping; at < last; at += PMD_SIZE)
		(void)READ_ONCE(*at);
	(void)READ_ONCE(*last);
}

/* What has been written is what is fetched; the other processors: arch_synchronize(). */
static void tell_caches(void)
{
	const struct entry_word *entry = words;
	unsigned int left = word_count;

	if (arch_tells_caches_once()) {
		arch_words_are_written();
#pragma GCC unroll 8
		for (; left; left--, entry++)
			arch_clean_word(entry->alias);
		arch_words_are_clean(words->site->ip);
		return;
	}
	for (; left; left--, entry++) {
		unsigned long ip = entry->site->ip;

		flush_word(entry);
		flush_icache_range(ip, ip + sizeof(u32));
	}
}

/**
 * suture_write_entries() - writes what has been prepared
 *
 * Under suture_stop_machine(). What a function takes here lengthens the pause by as much: one
 * pass that does nothing but store and keep what was there, and one for the caches.
 *
 * Return: 0; else nothing is written: -EBUSY if there is a kprobe, -EINVAL if somebody else
 * has written there.
 */
int suture_write_entries(void)
{
	struct entry_word *entry = words;
	unsigned int left;
	int ret;

	if (!word_count)
		return 0;
	if (!SUTURE_LOCKS_KPROBES || !arch_tells_caches_once()) {
		ret = check_words();
		if (ret)
			return ret;
	}
	touch_mapping();
#pragma GCC unroll 8
	for (left = word_count; left; left--, entry++)
		entry->found = exchange_word(entry->alias, entry->word);
	tell_caches();
	return 0;
}

/* Puts back what somebody has written between the check and the stop, unless he does it again. */
static int give_back(void *data)
{
	const struct entry_word *entry, *end = words + word_count;

	for (entry = words; entry < end; entry++) {
		if (is_foreign(entry, entry->found) &&
		    get_unaligned(entry->alias) == entry->word)
			exchange_word(entry->alias, entry->found);
	}
	tell_caches();
	return 0;
}

/* ---- afterwards ---- */

static bool somebody_wrote(void)
{
	unsigned int i;

	for (i = 0; i < word_count; i++) {
		if (is_foreign(&words[i], words[i].found))
			return true;
	}
	return false;
}

/**
 * suture_finish_entries() - what suture_prepare_entries() has prepared is done with
 * @written:	whether suture_write_entries() has written it
 */
void suture_finish_entries(bool written)
{
	unsigned int i;

	if (!words)
		return;
	suture_test_finished(words->alias, written);
	if (written) {
		if (somebody_wrote())
			suture_stop_machine(give_back, NULL);
		for (i = 0; i < word_count; i++)
			words[i].site->word = words[i].word;
		/* Each must read back as it was written. */
		if (check_words() == -EINVAL)
			tell_of_foreign("it does not go the way of its patch");
		else
			told = 0;
	}
	suture_unlock_kprobes();
	forget_words();
}

static int write_prepared(void *data)
{
	return suture_write_entries();
}

/**
 * suture_write_object() - the same for one object that has just come
 * @obj:	nobody has called anything of it yet; its functions are in their stacks
 *
 * Return: 0, or an error and nothing is written.
 */
int suture_write_object(struct klp_object *obj)
{
	int state = suture_are_looked_at(KLP_PATCHED) ? KLP_PATCHED : KLP_UNPATCHED;
	unsigned int count = count_words(obj, state);
	int ret;

	if (!count)
		return 0;
	if (make_room(count)) {
		forget_words();
		return -ENOMEM;
	}
	add_words(obj, state);
	ret = map_and_check();
	if (ret)
		return ret;
	ret = suture_stop_machine(write_prepared, NULL);
	suture_finish_entries(!ret);
	return ret;
}
