// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stands for a patch with recipes against target.ko; built with the core's own
 * recipe.c and module-symbols.c, for tests only.
 *
 * The recipes are followed when the target comes, and again for each read of
 * /proc/recipes while it is there. That prints a line for either time: the error, what
 * the places hold afterwards, whether the target has the build id of the parameter, and
 * where the first place in text is.
 * Then a line with the errors of recipes that cannot be followed, and a last one with
 * how many of the broken tables were refused.
 */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/notifier.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

#include "suture.h"

static char *build_id;
module_param(build_id, charp, 0400);
/* Where the target's file has it in its section. */
static unsigned long second_at;
module_param(second_at, ulong, 0400);

/* Two words of text that nobody executes, with some bits set. */
extern u32 in_text[2];
asm(".pushsection .text\n\t"
    ".balign 8\n\t"
    ".globl in_text\n"
    "in_text: .long 0xea000000, 0x12345678\n\t"
    ".popsection");

static unsigned long in_data[4];
static const unsigned long in_rodata[1];

#define WHOLE		{ (BITS_PER_LONG) << 8 }
#define FIELD(from, width, to)	((from) | (width) << 8 | (to) << 16)

static struct suture_recipe recipes[] = {
	{ .place = &in_data[0], .symbol = "target_function", .addend = 4,
	  .size = sizeof(long), .fields = WHOLE },
	{ .place = &in_data[1], .symbol = "twin", .sympos = 2,
	  .size = sizeof(long), .fields = WHOLE },
	{ .place = &in_data[2], .symbol = "second", .section = ".data.target",
	  .addend = -8, .size = sizeof(long), .fields = WHOLE },
	{ .place = &in_data[3], .symbol = "unset", .section = ".bss.target",
	  .size = sizeof(long), .fields = WHOLE },
	/* As a branch has it: a distance in words, in the lower 24 bits. */
	{ .place = &in_text[0], .symbol = "target_function",
	  .flags = SUTURE_RECIPE_PC_RELATIVE, .shift = 2, .range = 33, .size = 4,
	  .fields = { FIELD(0, 24, 0) } },
	/* As an instruction may have it: bits 0 to 11, and 12 to 15 elsewhere. */
	{ .place = &in_text[1], .symbol = "twin", .sympos = 1, .size = 4,
	  .fields = { FIELD(0, 12, 0), FIELD(12, 4, 16) } },
};

static struct suture_object object = {
	.name = "target",
	.recipes = recipes,
	.recipe_count = ARRAY_SIZE(recipes),
};

/* The first is good, so it is seen that nothing was written. */
static const struct suture_recipe impossible[] = {
	{ .symbol = "nowhere", .fields = WHOLE },
	{ .symbol = "twin", .fields = WHOLE },
	{ .symbol = "twin", .sympos = 3, .fields = WHOLE },
	{ .symbol = "second", .section = ".data.nowhere", .fields = WHOLE },
	{ .symbol = "second", .section = ".data.target", .offset = 1 << 30,
	  .fields = WHOLE },
	{ .symbol = "target_function", .range = 8, .fields = WHOLE },
};

struct outcome {
	int error;
	unsigned long data[ARRAY_SIZE(in_data)];
	u32 text[ARRAY_SIZE(in_text)];
	bool built;
};

static struct outcome coming, live;
static struct module *target;

static bool has_build_id(void)
{
	u8 id[SUTURE_MAX_BUILD_ID];
	size_t size = strlen(build_id) / 2;

	return size <= sizeof(id) && !hex2bin(id, build_id, size) &&
	       suture_module_has_build_id(target, id, size) &&
	       !suture_module_has_build_id(target, id + 1, size - 1);
}

static void follow(struct outcome *outcome)
{
	outcome->error = suture_apply_recipes(THIS_MODULE, &object, target);
	memcpy(outcome->data, in_data, sizeof(in_data));
	memcpy(outcome->text, in_text, sizeof(outcome->text));
	outcome->built = has_build_id();
}

static int module_changes(struct notifier_block *block, unsigned long state, void *data)
{
	struct module *mod = data;

	if (strcmp(mod->name, "target"))
		return NOTIFY_DONE;
	if (state == MODULE_STATE_COMING) {
		target = mod;
		follow(&coming);
		memset(in_data, 0, sizeof(in_data));
	} else if (state == MODULE_STATE_GOING) {
		target = NULL;
	}
	return NOTIFY_DONE;
}

static void show_outcome(struct seq_file *m, const struct outcome *outcome)
{
	unsigned int i;

	seq_printf(m, "%d", outcome->error);
	for (i = 0; i < ARRAY_SIZE(outcome->data); i++)
		seq_printf(m, " %lx", outcome->data[i]);
	for (i = 0; i < ARRAY_SIZE(outcome->text); i++)
		seq_printf(m, " %x", outcome->text[i]);
	seq_printf(m, " %d %px\n", outcome->built, &in_text[0]);
}

/* How many were refused of the tables that have one thing wrong in them. */
static unsigned int refuse_broken(unsigned int *count)
{
	struct suture_range memory = {
		(unsigned long)THIS_MODULE->core_layout.base,
		(unsigned long)THIS_MODULE->core_layout.base +
			THIS_MODULE->core_layout.size,
	};
	const struct suture_recipe good = recipes[0];
	struct suture_recipe *bad = &recipes[0];
	unsigned int refused = 0;

	*count = 0;
#define BREAK(change) do {							       \
		change;								       \
		++*count;							       \
		refused += !!suture_check_recipes(THIS_MODULE, &object, &memory);      \
		*bad = good;							       \
		object.recipe_count = ARRAY_SIZE(recipes);			       \
		object.recipes = recipes;					       \
	} while (0)
	BREAK(bad->place = &refused);
	BREAK(bad->place = (void *)in_rodata);
	BREAK(bad->place = (void *)memory.end - 2);
	BREAK(bad->place = (void *)-2UL);
	BREAK(bad->place = (void *)in_text + 2);
	BREAK(bad->symbol = (char *)&refused);
	BREAK(bad->symbol = NULL);
	BREAK(bad->symbol = "");
	BREAK(bad->section = (char *)&refused);
	BREAK(bad->size = 3);
	BREAK(bad->size = 0);
	BREAK(bad->flags = 2);
	BREAK(bad->shift = 64);
	BREAK(bad->range = 65);
	BREAK(bad->fields[0] = 0);
	BREAK(bad->fields[0] = FIELD(0, 0, 1));
	BREAK(bad->fields[0] = FIELD(60, 8, 0));
	BREAK(bad->fields[0] = FIELD(0, 8, 60));
	BREAK(bad->fields[1] = FIELD(0, 8, 0) | 1 << 24);
	BREAK(bad->reserved = 1);
	BREAK(object.recipe_count = SUTURE_MAX_RECIPES + 1);
	BREAK(object.recipe_count = SUTURE_MAX_RECIPES);
	BREAK(object.recipes = (void *)&refused);
	if (suture_check_recipes(THIS_MODULE, &object, &memory))
		refused = 0;
	return refused;
}

static int recipes_show(struct seq_file *m, void *v)
{
	static struct suture_recipe tried[2];
	struct suture_object attempt = { "target", .recipes = tried, .recipe_count = 2 };
	unsigned int i, refused, count;

	if (!target)
		return -ENODEV;
	follow(&live);
	show_outcome(m, &coming);
	show_outcome(m, &live);
	for (i = 0; i < ARRAY_SIZE(impossible); i++) {
		in_data[0] = 0;
		tried[0] = recipes[0];
		tried[1] = impossible[i];
		tried[1].place = &in_data[1];
		tried[1].size = sizeof(long);
		seq_printf(m, "%d%s ", suture_apply_recipes(THIS_MODULE, &attempt, target),
			   in_data[0] ? " written" : "");
	}
	refused = refuse_broken(&count);
	seq_printf(m, "\n%u of %u\n", refused, count);
	return 0;
}

static struct notifier_block notifier = { .notifier_call = module_changes };

static int __init recipes_init(void)
{
	recipes[2].offset = second_at;
	proc_create_single("recipes", 0400, NULL, recipes_show);
	return register_module_notifier(&notifier);
}

static void __exit recipes_exit(void)
{
	unregister_module_notifier(&notifier);
	remove_proc_entry("recipes", NULL);
}

module_init(recipes_init);
module_exit(recipes_exit);
MODULE_DESCRIPTION("Recipes as a patch has them, for tests");
MODULE_LICENSE("GPL");
