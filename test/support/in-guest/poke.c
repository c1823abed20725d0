// SPDX-License-Identifier: GPL-2.0-only
/*
 * A word of text that is another one for as long as the module is there, or with keep=1 from
 * then on: somebody else's patch.
 */
#include <linux/module.h>

#include "suture-arch.h"

static ulong address;
module_param(address, ulong, 0444);
static uint word;
module_param(word, uint, 0444);
static bool keep;
module_param(keep, bool, 0444);

static u32 before;

static int __init poke_init(void)
{
	before = READ_ONCE(*(u32 *)address);
	return arch_write_text((u32 *)address, word);
}

static void __exit poke_exit(void)
{
	if (!keep)
		arch_write_text((u32 *)address, before);
}

module_init(poke_init);
module_exit(poke_exit);
MODULE_LICENSE("GPL");
