/* SPDX-License-Identifier: GPL-2.0-only */
/* What the core's files tell each other. */
#ifndef _SUTURE_H
#define _SUTURE_H

#include <linux/livepatch.h>

/* One redirected function: what the handler looks up. */
struct suture_site {
	struct hlist_node node;
	struct klp_patch *patch;
	const char *name;	/* in the patch module */
	unsigned long ip;
	unsigned long stub;
};

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

int suture_check(struct klp_patch *patch,
		 const struct suture_patch_table *table);
int suture_somebody_inside(void *data);

#endif /* _SUTURE_H */
