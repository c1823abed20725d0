/* SPDX-License-Identifier: GPL-2.0-only */
/* What the core's files tell each other. */
#ifndef _SUTURE_H
#define _SUTURE_H

#include <linux/livepatch.h>

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

/* Whose code suture_somebody_inside() looks for. */
struct suture_look {
	/*
	 * Not the range of its code: on the stack of the caller, its start would
	 * be found.
	 */
	const struct module *mod;
	/* Who asks for the look, and from where on its own stack counts. */
	const struct task_struct *caller;
	unsigned long caller_sp;
};

struct suture_object;

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

/* Sorted by start, disjoint; both in kmalloc'd memory, on no stack. */
struct suture_codes {
	const struct suture_code *codes;
	unsigned int count;
};

/* table.c */
int suture_check(struct klp_patch *patch,
		 const struct suture_patch_table *table);

/* redirect.c */
int suture_make_sites(struct klp_patch *patch,
		      const struct suture_patch_table *table);
void suture_free_sites(struct klp_patch *patch);
int suture_switch_on(struct klp_patch *patch);
int suture_switch_off(struct klp_patch *patch);

/* stack.c; all but the last under suture_stop_machine() */
int suture_somebody_inside(void *data);
const struct suture_code *suture_inside(struct task_struct *task,
					const struct suture_codes *codes,
					const struct suture_caller *caller);
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
int suture_check_recipes(const struct module *patch_mod,
			 const struct suture_object *object,
			 const struct suture_range *memory);
int suture_apply_recipes(const struct module *patch_mod,
			 const struct suture_object *object,
			 struct module *mod);

#endif /* _SUTURE_H */
