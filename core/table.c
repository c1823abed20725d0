// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether a patch may be applied to this kernel: everything that can be known
 * before anything is touched.
 *
 * The patch module is code and runs in the kernel, so nothing here is a defence
 * against its author. It is one against damage and mistakes: a table written for
 * another layout, another kernel or another build, or a file with wrong bytes, is
 * refused with the reason, and no pointer or count of it is followed unchecked.
 */
#include <linux/elf.h>
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "suture.h"

/* As in glibc's <elf.h>; the kernel's headers have no name for it. */
#define NT_GNU_BUILD_ID	3

/* Whether @count things at @pointer lie in @range, aligned as they must be. */
#define holds(range, pointer, count)					       \
	range_holds(range, (unsigned long)(pointer), count, sizeof(*(pointer)), \
		    __alignof__(*(pointer)))

static bool range_holds(const struct suture_range *range, unsigned long start,
			unsigned long count, unsigned long size,
			unsigned long alignment)
{
	return start >= range->start && start <= range->end &&
	       IS_ALIGNED(start, alignment) &&
	       count <= (range->end - start) / size;
}

/* A name of the length that kallsyms allows, with its end inside the module. */
static bool holds_name(const struct suture_range *memory, const char *name)
{
	size_t room;

	if (!holds(memory, name, 1))
		return false;
	room = min_t(size_t, memory->end - (unsigned long)name, KSYM_NAME_LEN);
	return *name && strnlen(name, room) < room;
}

/*
 * The memory of the patch's module that outlives its init. The module must hold
 * the patch, the table and its own struct module; before that is known, nothing
 * is read from it that could fault.
 */
static int find_memory(struct klp_patch *patch,
		       const struct suture_patch_table *table,
		       struct suture_range *memory)
{
	struct module_layout layout;
	struct module *mod;

	if (!patch || get_kernel_nofault(mod, &patch->mod) || !mod ||
	    copy_from_kernel_nofault(&layout, &mod->core_layout, sizeof(layout)))
		goto stray;

	memory->start = (unsigned long)layout.base;
	memory->end = memory->start + layout.size;
	if (!holds(memory, mod, 1) || !holds(memory, patch, 1) ||
	    !holds(memory, table, 1))
		goto stray;
	return 0;

stray:
	pr_err("suture: a patch does not lie in the module that it names\n");
	return -EINVAL;
}

static int check_header(const struct module *mod,
			const struct suture_patch_table *table,
			const struct suture_range *memory)
{
	if (table->magic != SUTURE_TABLE_MAGIC) {
		suture_refuse(mod, "the patch table is damaged: it starts with %#x instead of %#x",
			      table->magic, SUTURE_TABLE_MAGIC);
		return -EINVAL;
	}
	if (table->version != SUTURE_TABLE_VERSION) {
		suture_refuse(mod, "the patch table has layout version %u, and this core takes version %u",
			      table->version, SUTURE_TABLE_VERSION);
		return -EINVAL;
	}
	if (!table->build_id_size || table->build_id_size > SUTURE_MAX_BUILD_ID ||
	    !holds(memory, table->build_id, table->build_id_size)) {
		suture_refuse(mod, "the patch table is damaged: its build id lies outside the module");
		return -EINVAL;
	}
	if (!table->object_count || table->object_count > SUTURE_MAX_OBJECTS) {
		suture_refuse(mod, "the patch table is damaged: %u objects instead of 1 to %u",
			      table->object_count, SUTURE_MAX_OBJECTS);
		return -EINVAL;
	}
	if (!holds(memory, table->objects, table->object_count)) {
		suture_refuse(mod, "the patch table is damaged: its %u objects lie outside the module",
			      table->object_count);
		return -EINVAL;
	}
	return 0;
}

/* The objects' lists. Modules and recipes are not taken yet. */
static int check_lists(const struct module *mod,
		       const struct suture_patch_table *table,
		       const struct suture_range *memory)
{
	u32 i, left = SUTURE_MAX_REDIRECTS;

	for (i = 0; i < table->object_count; i++) {
		const struct suture_object *object = &table->objects[i];

		if (object->name || object->recipes || object->recipe_count) {
			suture_refuse(mod, "functions and symbols of modules are not supported yet");
			return -EOPNOTSUPP;
		}
		if (object->build_id || object->build_id_size || object->reserved) {
			suture_refuse(mod, "the patch table is damaged: object %u has what the kernel itself has not", i);
			return -EINVAL;
		}
		if (object->redirect_count > left ||
		    !object->redirects != !object->redirect_count ||
		    (object->redirects &&
		     !holds(memory, object->redirects, object->redirect_count))) {
			suture_refuse(mod, "the patch table is damaged: the %u redirects of object %u lie outside the module or are too many",
				      object->redirect_count, i);
			return -EINVAL;
		}
		left -= object->redirect_count;
	}
	if (left == SUTURE_MAX_REDIRECTS) {
		suture_refuse(mod, "the patch redirects nothing");
		return -EOPNOTSUPP;
	}
	return 0;
}

/* The build id is the description of a note (elf(5)) that the kernel has of itself. */
static int check_build_id(const struct module *mod,
			  const struct suture_patch_table *table)
{
	struct {
		Elf32_Nhdr header;
		char name[4];
		u8 id[SUTURE_MAX_BUILD_ID];
	} note;
	unsigned long before = offsetof(typeof(note), id);
	int size = table->build_id_size;

	if (copy_from_kernel_nofault(&note, (void *)(table->build_id_address - before),
				     before + size) ||
	    note.header.n_namesz != sizeof(note.name) ||
	    note.header.n_descsz != size ||
	    note.header.n_type != NT_GNU_BUILD_ID ||
	    memcmp(note.name, "GNU", sizeof(note.name))) {
		suture_refuse(mod, "made for another kernel: this one has no build id of %d bytes at %#lx",
			      size, table->build_id_address);
		return -EINVAL;
	}
	if (memcmp(note.id, table->build_id, size)) {
		suture_refuse(mod, "made for another kernel: its build id is %*phN, this kernel's is %*phN",
			      size, table->build_id, size, note.id);
		return -EINVAL;
	}
	return 0;
}

static int check_pointers(const struct module *mod,
			  const struct suture_redirect *redirect,
			  const struct suture_range *memory)
{
	struct suture_range text = suture_text(mod);
	const u32 *stub = redirect->stub, *new_function = redirect->new_function;
	unsigned long i, words = redirect->old_size / sizeof(u32);

	if (!holds_name(memory, redirect->old_name)) {
		suture_refuse(mod, "the patch table is damaged: a function's name is no string in the module");
		return -EINVAL;
	}
	if (redirect->way != SUTURE_WAY_FTRACE) {
		suture_refuse(mod, "'%s': redirected in way %u, which this core does not know",
			      redirect->old_name, redirect->way);
		return -EINVAL;
	}
	if (!words || redirect->old_size > SUTURE_MAX_OLD_SIZE ||
	    !IS_ALIGNED(redirect->old_size, sizeof(u32)) ||
	    !IS_ALIGNED(redirect->old_address, sizeof(u32))) {
		suture_refuse(mod, "'%s': the patch table is damaged: no function has %lu bytes at %#lx",
			      redirect->old_name, redirect->old_size,
			      redirect->old_address);
		return -EINVAL;
	}
	if (!holds(memory, redirect->old_words, words)) {
		suture_refuse(mod, "'%s': the patch table is damaged: its copy of the old function (%lu bytes) lies outside the module",
			      redirect->old_name, redirect->old_size);
		return -EINVAL;
	}
	if (redirect->masked_count &&
	    !holds(memory, redirect->masked, redirect->masked_count)) {
		suture_refuse(mod, "'%s': the patch table is damaged: its list of %lu masked words lies outside the module",
			      redirect->old_name, redirect->masked_count);
		return -EINVAL;
	}
	for (i = 0; i < redirect->masked_count; i++) {
		if (redirect->masked[i] >= words ||
		    (i && redirect->masked[i] <= redirect->masked[i - 1])) {
			suture_refuse(mod, "'%s': the patch table is damaged: masked word %u is out of order or outside the old function",
				      redirect->old_name, redirect->masked[i]);
			return -EINVAL;
		}
	}
	/* ftrace would take a function's first byte too, and call it by another ip. */
	if (!redirect->site || redirect->site >= redirect->old_size ||
	    !IS_ALIGNED(redirect->site, sizeof(u32))) {
		suture_refuse(mod, "'%s': the patch table is damaged: the call site at +%#lx is not inside the old function",
			      redirect->old_name, redirect->site);
		return -EINVAL;
	}
	if (!holds(&text, new_function, 1)) {
		suture_refuse(mod, "'%s': the patch table is damaged: the new function is not in the module's code",
			      redirect->old_name);
		return -EINVAL;
	}
	if (!redirect->stub_size || !IS_ALIGNED(redirect->stub_size, sizeof(u32)) ||
	    !holds(&text, stub, redirect->stub_size / sizeof(u32))) {
		suture_refuse(mod, "'%s': the patch table is damaged: the stub is not in the module's code",
			      redirect->old_name);
		return -EINVAL;
	}
	return 0;
}

/*
 * Functions of which the core could never see that all tasks have left them:
 * stack.c does not look at some tasks, or always finds one inside.
 */
static const char * const never_left[] = {
	/* Wherever a task is switched out, and so every task that sleeps. */
	"__schedule", "schedule", "schedule_idle", "__switch_to",
	/* Idle tasks, also of CPUs that are off. */
	"rest_init", "start_secondary", "secondary_start_kernel",
	"cpu_startup_entry", "do_idle", "arch_cpu_idle_dead",
	"pseries_cpu_offline_self",
	/* The stoppers of stop_machine(), and workers. */
	"kthread", "smpboot_thread_fn", "cpu_stopper_thread", "multi_cpu_stop",
	"worker_thread",
	/* Dying tasks, when they are in no list any more. */
	"do_exit", "exit_notify", "release_task", "do_task_dead",
	/* Who tells the core that a module goes. */
	"blocking_notifier_call_chain", "notifier_call_chain",
};

static bool is_never_left(const char *name)
{
	size_t i, length = strcspn(name, ".");	/* gcc's .isra.0 and the like */

	for (i = 0; i < ARRAY_SIZE(never_left); i++) {
		if (strlen(never_left[i]) == length &&
		    !strncmp(never_left[i], name, length))
			return true;
	}
	return false;
}

/*
 * The kernel's own kallsyms must have a function of the kernel at that address, no
 * shorter. Of several names at one address kallsyms tells one, which need not be the
 * table's: both are looked up among those that cannot be patched.
 */
static int check_place(const struct module *mod,
		       const struct suture_redirect *redirect)
{
	static char symbol[KSYM_SYMBOL_LEN];	/* too big for the stack */
	unsigned long offset, size;
	char *place;
	int end = 0;

	sprint_symbol(symbol, redirect->old_address);
	place = strrchr(symbol, '+');
	if (!place ||
	    sscanf(place, "+%lx/%lx%n", &offset, &size, &end) != 2 ||
	    place[end] || offset) {
		suture_refuse(mod, "'%s': this kernel has no function at %#lx but %s",
			      redirect->old_name, redirect->old_address, symbol);
		return -EINVAL;
	}
	*place = '\0';
	if (is_never_left(symbol) || is_never_left(redirect->old_name)) {
		suture_refuse(mod, "'%s' (%s): some task may always be inside it, unseen, so it cannot be patched",
			      redirect->old_name, symbol);
		return -EOPNOTSUPP;
	}
	if (redirect->old_size > size) {
		suture_refuse(mod, "'%s': made for %lu bytes, in this kernel it has %lu",
			      redirect->old_name, redirect->old_size, size);
		return -EINVAL;
	}
	return 0;
}

/*
 * The old function's instructions, those aside that the kernel rewrites. With most
 * of them aside, any function would do.
 */
static int check_words(const struct module *mod,
		       const struct suture_redirect *redirect)
{
	const u32 *old = (const u32 *)redirect->old_address;
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
		if (i == site)
			continue;
		if (get_kernel_nofault(running, old + i)) {
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
	if (2 * compared < words) {
		suture_refuse(mod, "'%s': only %lu of its %lu instructions can be compared, and half of them must be",
			      redirect->old_name, compared, words);
		return -EINVAL;
	}
	return 0;
}

static int check_redirect(const struct module *mod,
			  const struct suture_redirect *redirect,
			  const struct suture_range *memory)
{
	int ret;

	ret = check_pointers(mod, redirect, memory);
	if (ret)
		return ret;
	ret = check_place(mod, redirect);
	if (ret)
		return ret;
	return check_words(mod, redirect);
}

/* Whether the table has a redirect for @func. */
static bool has_redirect(const struct suture_object *object,
			 const struct klp_func *func)
{
	u32 i;

	for (i = 0; i < object->redirect_count; i++) {
		if (object->redirects[i].new_function == func->new_func &&
		    object->redirects[i].old_sympos == func->old_sympos &&
		    !strcmp(object->redirects[i].old_name, func->old_name))
			return true;
	}
	return false;
}

static int check_funcs(const struct module *mod, const struct klp_object *obj,
		       const struct suture_object *object,
		       const struct suture_range *memory)
{
	const struct klp_func *func;
	u32 count = 0;

	for (func = obj->funcs;; func++) {
		if (!holds(memory, func, 1)) {
			suture_refuse(mod, "the list of functions does not end inside the module");
			return -EINVAL;
		}
		if (!func->old_name && !func->new_func && !func->old_sympos)
			break;
		if (!holds_name(memory, func->old_name) || !func->new_func) {
			suture_refuse(mod, "a function without a name or without a new function");
			return -EINVAL;
		}
		if (!has_redirect(object, func)) {
			suture_refuse(mod, "'%s': the patch table has no redirect for it",
				      func->old_name);
			return -EINVAL;
		}
		count++;
	}
	if (count != object->redirect_count) {
		suture_refuse(mod, "%u functions, but %u redirects in the patch table",
			      count, object->redirect_count);
		return -EINVAL;
	}
	return 0;
}

/* The patch as mainline shapes it must say the same as the table. */
static int check_objects(const struct klp_patch *patch,
			 const struct suture_patch_table *table,
			 const struct suture_range *memory)
{
	const struct module *mod = patch->mod;
	const struct klp_callbacks *callbacks;
	const struct klp_object *obj;
	u32 count = 0;
	int ret;

	if (patch->replace || patch->states) {
		suture_refuse(mod, "atomic replace and system states are not supported yet");
		return -EOPNOTSUPP;
	}
	for (obj = patch->objs;; obj++) {
		if (!holds(memory, obj, 1)) {
			suture_refuse(mod, "the list of objects does not end inside the module");
			return -EINVAL;
		}
		if (!obj->name && !obj->funcs)
			break;
		if (obj->name) {
			suture_refuse(mod, "functions of modules ('%s') cannot be patched yet",
				      holds_name(memory, obj->name) ? obj->name : "?");
			return -EOPNOTSUPP;
		}
		callbacks = &obj->callbacks;
		if (callbacks->pre_patch || callbacks->post_patch ||
		    callbacks->pre_unpatch || callbacks->post_unpatch) {
			suture_refuse(mod, "callbacks are not supported yet");
			return -EOPNOTSUPP;
		}
		if (count == table->object_count)
			break;
		ret = check_funcs(mod, obj, &table->objects[count], memory);
		if (ret)
			return ret;
		count++;
	}
	if (count != table->object_count || obj->name || obj->funcs) {
		suture_refuse(mod, "not the %u objects that the patch table has",
			      table->object_count);
		return -EINVAL;
	}
	return 0;
}

/**
 * suture_check() - whether a patch may be applied to this kernel
 * @patch:	as the module has it, nothing of it checked
 * @table:	likewise
 *
 * Called with suture_mutex held. Has no effect but messages.
 *
 * Return: 0, or an error after the reason went to the log.
 */
int suture_check(struct klp_patch *patch,
		 const struct suture_patch_table *table)
{
	struct suture_range memory;
	u32 i, j;
	int ret;

	ret = find_memory(patch, table, &memory);
	if (!ret)
		ret = check_header(patch->mod, table, &memory);
	if (!ret)
		ret = check_build_id(patch->mod, table);
	if (!ret)
		ret = check_lists(patch->mod, table, &memory);
	for (i = 0; !ret && i < table->object_count; i++) {
		const struct suture_object *object = &table->objects[i];

		for (j = 0; !ret && j < object->redirect_count; j++)
			ret = check_redirect(patch->mod, &object->redirects[j],
					     &memory);
	}
	if (!ret)
		ret = check_objects(patch, table, &memory);
	return ret;
}
