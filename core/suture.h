/* SPDX-License-Identifier: GPL-2.0-only */
/* What the core's files tell each other. */
#ifndef _SUTURE_H
#define _SUTURE_H

#include <linux/bitmap.h>
#include <linux/livepatch.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include "bound.h"

/* A range of addresses, [start, end). */
struct suture_range {
	unsigned long start;
	unsigned long end;
};

/* Says why a patch is refused. */
#define suture_refuse(mod, fmt, ...)					       \
	printk(KERN_ERR "suture: %s: " fmt "\n", (mod)->name, ##__VA_ARGS__)

/* The code of a module that stays after its init. */
static inline struct suture_range suture_text(const struct module *mod)
{
	const struct module_layout *layout = &mod->core_layout;
	unsigned long base = (unsigned long)layout->base;

	return (struct suture_range){ base, base + layout->text_size };
}

/*
 * Who asks for a look: of its own stack, which is in use, only what lies above @sp
 * counts. Below are the core's own calls, with what they left behind.
 */
struct suture_caller {
	const struct task_struct *task;
	unsigned long sp;
};

/* Code that is being left: an old function, a new one, a stub. */
struct suture_code {
	unsigned long start;
	unsigned long end;
	const char *name;
};

/* 4 KiB each, 256 MiB in all: the kernel's text and its modules' seldom meet in one. */
#define SUTURE_PAGE		4096
#define SUTURE_PAGES		(1 << 16)

/* Sorted by start, disjoint; both in kmalloc'd memory, on no stack. */
struct suture_codes {
	const struct suture_code *codes;
	unsigned int count;
	/* Where they are, modulo SUTURE_PAGES: suture_mark_pages(). */
	DECLARE_BITMAP(pages, SUTURE_PAGES);
};

/* core.c */
extern struct mutex suture_mutex;
extern struct suture_caller suture_caller;
extern struct list_head klp_patches;	/* in force or in transition, oldest first */

/* Takes the mutex, and notes that what is below here on the stack is the core's. */
static __always_inline void suture_lock(void)
{
	mutex_lock(&suture_mutex);
	suture_caller.task = current;
	suture_caller.sp = (unsigned long)__builtin_frame_address(0);
}

static inline void suture_unlock(void)
{
	mutex_unlock(&suture_mutex);
}

#define klp_for_each_patch(patch)					       \
	list_for_each_entry(patch, &klp_patches, list)
#define klp_for_each_patch_safe(patch, next)				       \
	list_for_each_entry_safe(patch, next, &klp_patches, list)

int klp_disable_patch(struct klp_patch *patch);
void suture_free_objects(struct klp_patch *patch, bool nops_only);
void klp_free_patch_async(struct klp_patch *patch);
void klp_free_replaced_patches_async(struct klp_patch *new_patch);

/* sysfs.c */
void suture_init_patch_kobject(struct klp_patch *patch);
void suture_init_object_kobject(struct klp_object *obj);
void suture_init_func_kobject(struct klp_func *func);
int suture_add_patch_kobject(struct klp_patch *patch);
int suture_add_object_kobject(struct klp_patch *patch, struct klp_object *obj);
int suture_add_func_kobject(struct klp_object *obj, struct klp_func *func);
int suture_add_root_kobject(void);
void suture_remove_root_kobject(void);

/* table.c */
int suture_check(struct klp_patch *patch,
		 const struct suture_patch_table *table);
const struct suture_redirect *
suture_find_redirect(const struct suture_object *object,
		     const struct klp_func *func);

/* old-function.c */
unsigned long suture_symbol_size(unsigned long address);
int suture_check_module_function(const struct module *mod,
				 const struct suture_redirect *redirect,
				 unsigned long address, unsigned long size,
				 unsigned long most);
int suture_check_kernel_function(const struct module *mod,
				 const struct suture_redirect *redirect);

/* never-left.c */
bool suture_is_never_left(const char *name);

/* object.c */
static inline const char *suture_object_name(const struct klp_object *obj)
{
	return obj->name ? obj->name : "vmlinux";
}

static inline bool klp_is_object_loaded(const struct klp_object *obj)
{
	return !obj->name || obj->mod;
}

int klp_pre_patch_callback(struct klp_object *obj);
void klp_post_patch_callback(struct klp_object *obj);
void klp_pre_unpatch_callback(struct klp_object *obj);
void klp_post_unpatch_callback(struct klp_object *obj);
int klp_init_object(struct klp_patch *patch, struct klp_object *obj);
void klp_free_object_loaded(struct klp_object *obj);
int suture_object_coming(struct module *mod);
void suture_object_going(struct module *mod);

/* replace.c */
int klp_add_nops(struct klp_patch *patch);
void suture_free_nop(struct klp_func *func);
void suture_free_dynamic_object(struct klp_object *obj);
void klp_unpatch_replaced_patches(struct klp_patch *new_patch);

/*
 * When every CPU has left whatever handler of ftrace it was in (redirect.c). Without ftrace
 * there is none, and a kernel without it may not have RCU's way to wait for that.
 */
#ifdef CONFIG_DYNAMIC_FTRACE_WITH_REGS
#define suture_wait_for_handlers	synchronize_rcu_tasks_rude
#define suture_call_after_handlers	call_rcu_tasks_rude
#define suture_flush_calls_after_handlers rcu_barrier_tasks_rude
#else
#define suture_wait_for_handlers	synchronize_rcu
#define suture_call_after_handlers	call_rcu
#define suture_flush_calls_after_handlers rcu_barrier
#endif

/* redirect.c */

/* Where the old functions of some klp_funcs are entered. */
struct suture_site {
	struct hlist_node node;
	unsigned long ip;		/* what ftrace calls the call site; or the entry's word */
	unsigned long target;		/* ftrace way: see suture_settle_site() */
	struct list_head funcs;		/* klp_func.stack_node */
	unsigned int users;		/* klp_func.site, in a stack or not */
	const struct klp_patch *newest;	/* of the users' patches */
	bool is_entry;			/* of the entry way */
	u32 old_word;			/* entry way: the kernel's own word */
	u32 word;			/* entry way: what was written last */
	struct rcu_head rcu;
};

struct suture_site *suture_find_site(unsigned long ip);
int suture_get_site(struct klp_patch *patch, struct klp_func *func,
		    unsigned long ip);
void suture_put_site(struct klp_func *func);
void suture_settle_site(struct suture_site *site);
unsigned long suture_site_ip(const struct klp_func *func);
const struct klp_func *suture_func_below(const struct klp_func *func);
unsigned long suture_stub(const struct klp_func *func);
int klp_patch_object(struct klp_object *obj);
void klp_unpatch_object(struct klp_object *obj);
void klp_unpatch_objects(struct klp_patch *patch);
void klp_unpatch_objects_dynamic(struct klp_patch *patch);

/* entry.c */

/* Whether no kprobe comes or goes between suture_lock_kprobes() and suture_unlock_kprobes(). */
#if defined(SUTURE_BINDS_KPROBE_MUTEX) || !defined(CONFIG_KPROBES)
#define SUTURE_LOCKS_KPROBES	1
#else
#define SUTURE_LOCKS_KPROBES	0
#endif

bool suture_is_entry(const struct klp_func *func);
bool suture_is_strict(const struct klp_patch *patch);
bool suture_entry_is_sound(const struct suture_entry *entry);
bool suture_make_branch(const struct suture_entry *entry, unsigned long from,
			unsigned long to, u32 *word);
int suture_get_branch(struct klp_patch *patch, struct klp_func *func);
void suture_put_branch(struct klp_func *func);
bool suture_is_probed(unsigned long address);
void suture_lock_kprobes(void);
void suture_unlock_kprobes(void);
bool suture_entry_word(unsigned long address, u32 *word);
const struct klp_func *suture_find_probed(struct klp_patch *patch);

/* entry-words.c; suture_write_entries() with the machine stopped */
int suture_prepare_entries(struct klp_patch *patch, int state);
int suture_write_entries(void);
void suture_finish_entries(bool written);
int suture_write_object(struct klp_object *obj);

/* islands.c */
unsigned long suture_get_island(const struct suture_entry *entry, unsigned long from,
				unsigned long target);
void suture_put_island(unsigned long address, unsigned long size);

/* transition.c */
extern struct klp_patch *klp_transition_patch;
int suture_prepare_transition(struct klp_patch *patch);
void klp_init_transition(struct klp_patch *patch, int state);
void suture_objects_changed(void);
void klp_cancel_transition(void);
void klp_start_transition(void);
void klp_try_complete_transition(void);
void klp_reverse_transition(void);
int klp_force_transition(void);
bool suture_hurry_laggards(const struct module *mod);
void suture_laggard_returns(void);
void suture_stop_transitions(void);

/* laggards.c; states are KLP_PATCHED and KLP_UNPATCHED */
bool suture_task_is_patched(const struct task_struct *task);
bool suture_make_room(void);
void suture_tasks_are_in(int state);
bool suture_are_looked_at(int state);
unsigned int suture_laggards_left(void);
bool suture_switch_tasks(int state, struct klp_patch *strict);
bool suture_switch_itself(int state);
int suture_force_tasks(int state, struct klp_patch *strict);
void suture_free_laggards(void);
void suture_remind_laggards(void);
void klp_send_signals(void);
bool suture_name_laggards(const struct module *mod, int state);

/* dying.c; suture_each_unlisted() with the machine stopped */
bool suture_is_known_dying(const struct task_struct *task);
unsigned int suture_count_tasks(void);
int suture_each_unlisted(int (*look)(struct task_struct *task, void *data),
			 void *data);
int suture_start_listing(void);
void suture_stop_listing(void);

/* return-to-user.c */
void suture_ask_at_return(struct task_struct *task);
void suture_stop_asking(struct task_struct *task);
void suture_wait_for_returns(void);

/* codes.c */
extern struct suture_codes suture_codes;
int suture_make_codes(struct klp_patch *patch);
void suture_fill_codes(struct klp_patch *patch, int target_state);
void suture_free_codes(void);

/* state.c */
bool klp_is_patch_compatible(struct klp_patch *patch);

/* stack.c; suture_inside() and suture_each_task() under suture_stop_machine() */
void suture_mark_pages(struct suture_codes *codes);
const struct suture_code *suture_inside(struct task_struct *task,
					const struct suture_codes *codes,
					const struct suture_caller *caller);
const struct suture_code *suture_inside_itself(const struct suture_codes *codes,
					       unsigned long from);
int suture_each_task(int (*look)(struct task_struct *task, void *data),
		     void *data);
int suture_stop_machine(int (*work)(void *data), void *data);

/* shadow.c */
void suture_free_shadows(void);

/* module-symbols.c */
int suture_module_symbol(struct module *mod, const char *name,
			 unsigned long sympos, unsigned long *address,
			 unsigned long *size);
unsigned long suture_module_section(struct module *mod, const char *section);
bool suture_module_has_build_id(const struct module *mod, const u8 *id,
				unsigned int size);
int suture_recipe_target(struct module *mod, const struct suture_recipe *recipe,
			 unsigned long *address);

/* recipe.c */
bool suture_fits(s64 value, u32 bits);
bool suture_field_is_sound(u32 packed, u32 size);
u64 suture_field_mask(u32 packed);
u64 suture_put_field(u64 place, u32 packed, u64 value);
int suture_check_recipes(const struct module *patch_mod,
			 const struct suture_object *object,
			 const struct suture_range *memory);
int suture_apply_recipes(const struct module *patch_mod,
			 const struct suture_object *object,
			 struct module *mod);

/* test.c: what a test says happens at these places; nothing in a core that is shipped. */
#ifdef SUTURE_TEST
bool suture_out_of_memory(void);
void suture_test_checked(u32 *alias);
void suture_test_finished(u32 *alias, bool written);
#else
static inline bool suture_out_of_memory(void)
{
	return false;
}

static inline void suture_test_checked(u32 *alias)
{
}

static inline void suture_test_finished(u32 *alias, bool written)
{
}
#endif

#endif /* _SUTURE_H */
