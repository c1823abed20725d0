/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * <linux/livepatch.h> for kernels built without LIVEPATCH: the names and shapes
 * of mainline 6.1, so that sources written for it compile unchanged. It stands
 * before the kernel's own header in the include path.
 *
 * CONFIG_LIVEPATCH is never defined here: it changes struct module.
 *
 * Members below "core" belong to suture.ko. A patch module is compiled with this
 * very header, and the CRC of suture_enable_patch() covers these structures: one
 * made for another core does not load.
 */
#ifndef _SUTURE_LINUX_LIVEPATCH_H
#define _SUTURE_LINUX_LIVEPATCH_H

#include <linux/kconfig.h>

#if IS_ENABLED(CONFIG_LIVEPATCH)

/* This kernel keeps its own promises. */
#include_next <linux/livepatch.h>

#else

#include <linux/completion.h>
#include <linux/elf.h>
#include <linux/ftrace.h>
#include <linux/kobject.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/types.h>
#include <suture/patch-table.h>

struct task_struct;
struct klp_object;
struct suture_site;

/* The functions that a task uses, and that a transition leads to. */
#define KLP_UNDEFINED	-1
#define KLP_UNPATCHED	 0
#define KLP_PATCHED	 1

/**
 * struct klp_func - one function that is replaced
 * @old_name:	its name in the patched object
 * @new_func:	what is called instead
 * @old_sympos:	which one, counted from 1 in kallsyms order, where the object has
 *		several of that name; 0 where it has one
 * @old_func:	core: where the old function is, NULL while its object is not loaded
 * @kobj:	core: /sys/kernel/livepatch/<patch>/<object>/<function,sympos>
 * @node:	core: in the object's func_list
 * @stack_node:	core: in the stack of the call site, newest first
 * @old_size:	core: of the old function, in bytes
 * @new_size:	core: of the new function, in bytes
 * @nop:	core: made by the core, leads to the old function
 * @patched:	core: is in the stack of the call site
 * @transition:	core: not all tasks use the same function
 * @redirect:	core: what Suture's linker knows of it, NULL for a nop
 * @replaced:	core: what a nop hides
 * @site:	core: its site, NULL while the object is not loaded, and for a nop where
 *		another function of the patch has it
 * @island:	core: what the branch at the old function's entry leads to where it does not
 *		reach the stub, 0 if there is none
 * @island_size: core: in bytes
 * @branch:	core: the word for the old function's entry, in the entry way
 */
struct klp_func {
	const char *old_name;
	void *new_func;
	unsigned long old_sympos;

	/* core */
	void *old_func;
	struct kobject kobj;
	struct list_head node;
	struct list_head stack_node;
	unsigned long old_size, new_size;
	bool nop;
	bool patched;
	bool transition;
	const struct suture_redirect *redirect;
	const struct klp_func *replaced;
	struct suture_site *site;
	unsigned long island, island_size;
	u32 branch;
};

/**
 * struct klp_callbacks - called around the switch, each of them optional
 *
 * Those of a module that comes or goes are called, other than in mainline, from a module
 * notifier, so with that list's rwsem held: they must not call register_module_notifier()
 * or unregister_module_notifier(), nor wait for a module to be loaded or removed.
 *
 * @pre_patch:		before the object is patched; an error stops it
 * @post_patch:		after the object is patched
 * @pre_unpatch:	before the object is unpatched
 * @post_unpatch:	after the object is unpatched
 * @post_unpatch_enabled: whether pre_patch succeeded, so that post_unpatch is due
 */
struct klp_callbacks {
	int (*pre_patch)(struct klp_object *obj);
	void (*post_patch)(struct klp_object *obj);
	void (*pre_unpatch)(struct klp_object *obj);
	void (*post_unpatch)(struct klp_object *obj);
	bool post_unpatch_enabled;
};

/**
 * struct klp_object - the kernel or one of its modules, and what is replaced in it
 * @name:	the module's name, NULL for the kernel itself
 * @funcs:	the functions, ended by an entry of zeroes
 * @callbacks:	called around the switch of this object
 * @kobj:	core: /sys/kernel/livepatch/<patch>/<object>
 * @func_list:	core: the functions, nops among them
 * @node:	core: in the patch's obj_list
 * @mod:	core: the module, NULL for the kernel itself and while it is not loaded
 * @dynamic:	core: made by the core, for nops
 * @patched:	core: its functions are in the stacks of their call sites
 * @entry:	core: what Suture's linker knows of it, NULL if made by the core
 * @ips:	core: room for the call sites of all its functions, for ftrace
 */
struct klp_object {
	const char *name;
	struct klp_func *funcs;
	struct klp_callbacks callbacks;

	/* core */
	struct kobject kobj;
	struct list_head func_list;
	struct list_head node;
	struct module *mod;
	bool dynamic;
	bool patched;
	const struct suture_object *entry;
	unsigned long *ips;
};

/**
 * struct klp_state - what a patch changed beyond code
 * @id:		not 0
 * @version:	of the change
 * @data:	the patch's own
 */
struct klp_state {
	unsigned long id;
	unsigned int version;
	void *data;
};

/**
 * struct klp_patch - a live patch
 * @mod:	the module that it is in
 * @objs:	the objects, ended by an entry of zeroes
 * @states:	what it changes beyond code, ended by an entry of zeroes, or NULL
 * @replace:	whether it takes the place of all patches before it
 * @list:	core: in the list of patches
 * @kobj:	core: /sys/kernel/livepatch/<patch>
 * @obj_list:	core: the objects, those made by the core among them
 * @enabled:	core: in force, or on the way there
 * @forced:	core: a task may be inside for ever, so the module stays
 * @going:	core: its module goes, nobody is asked any more
 * @finish:	core: its kobject is released
 * @table:	core: what Suture's linker knows of it; from its first enabling on
 */
struct klp_patch {
	struct module *mod;
	struct klp_object *objs;
	struct klp_state *states;
	bool replace;

	/* core */
	struct list_head list;
	struct kobject kobj;
	struct list_head obj_list;
	bool enabled;
	bool forced;
	bool going;
	struct completion finish;
	const struct suture_patch_table *table;
};

/* As the patch's author wrote them. */
#define klp_for_each_object_static(patch, obj)				       \
	for (obj = (patch)->objs; obj->funcs || obj->name; obj++)
#define klp_for_each_func_static(obj, func)				       \
	for (func = (obj)->funcs;					       \
	     func->old_name || func->new_func || func->old_sympos; func++)

/* With what the core made. */
#define klp_for_each_object(patch, obj)					       \
	list_for_each_entry(obj, &(patch)->obj_list, node)
#define klp_for_each_object_safe(patch, obj, next)			       \
	list_for_each_entry_safe(obj, next, &(patch)->obj_list, node)
#define klp_for_each_func(obj, func)					       \
	list_for_each_entry(func, &(obj)->func_list, node)
#define klp_for_each_func_safe(obj, func, next)				       \
	list_for_each_entry_safe(func, next, &(obj)->func_list, node)

int suture_enable_patch(struct klp_patch *patch,
			const struct suture_patch_table *table);

/*
 * Enables a patch, to be called from its module's init and from nowhere else, and
 * last: init is to return what this returns. If init fails although this succeeded,
 * the patch is taken back as the module goes, and who loads it waits until everybody
 * has left the new functions.
 */
#define klp_enable_patch(patch) suture_enable_patch(patch, &suture_patch_table)

struct klp_state *klp_get_state(struct klp_patch *patch, unsigned long id);
struct klp_state *klp_get_prev_state(unsigned long id);

/* Shadow variables: core/shadow.c. */
typedef int (*klp_shadow_ctor_t)(void *obj, void *shadow_data, void *ctor_data);
typedef void (*klp_shadow_dtor_t)(void *obj, void *shadow_data);

void *klp_shadow_get(void *obj, unsigned long id);
void *klp_shadow_alloc(void *obj, unsigned long id, size_t size, gfp_t gfp_flags,
		       klp_shadow_ctor_t ctor, void *ctor_data);
void *klp_shadow_get_or_alloc(void *obj, unsigned long id, size_t size, gfp_t gfp_flags,
			      klp_shadow_ctor_t ctor, void *ctor_data);
void klp_shadow_free(void *obj, unsigned long id, klp_shadow_dtor_t dtor);
void klp_shadow_free_all(unsigned long id, klp_shadow_dtor_t dtor);

/*
 * What the kernel's own sources call. They find a kernel without live patching,
 * as they did when it was built.
 */
static inline int klp_module_coming(struct module *mod)
{
	return 0;
}

static inline void klp_module_going(struct module *mod)
{
}

static inline bool klp_patch_pending(struct task_struct *task)
{
	return false;
}

static inline void klp_update_patch_state(struct task_struct *task)
{
}

static inline void klp_copy_process(struct task_struct *child)
{
}

static inline int
klp_apply_section_relocs(struct module *pmod, Elf_Shdr *sechdrs,
			 const char *shstrtab, const char *strtab,
			 unsigned int symindex, unsigned int secindex,
			 const char *objname)
{
	return 0;
}

#endif /* !CONFIG_LIVEPATCH */

#endif /* _SUTURE_LINUX_LIVEPATCH_H */
