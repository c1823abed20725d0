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

/* table.c */
int suture_check(struct klp_patch *patch,
		 const struct suture_patch_table *table);

/* redirect.c */
int suture_make_sites(struct klp_patch *patch,
		      const struct suture_patch_table *table);
void suture_free_sites(struct klp_patch *patch);
int suture_switch_on(struct klp_patch *patch);
int suture_switch_off(struct klp_patch *patch);

/* stack.c */
int suture_somebody_inside(void *data);

#endif /* _SUTURE_H */
