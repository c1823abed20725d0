/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A patch of int_pow(), and of functions of the kernel that nothing calls in the guest:
 * OTHERS, one FUNCTION(name) each.
 */
#include <linux/livepatch.h>
#include <linux/math.h>

#include "power.h"

static POWER(new_int_pow)

static __maybe_unused void new_other(void)
{
}

#define FUNCTION(name)	{ .old_name = #name, .new_func = new_other },
static struct klp_func funcs[] = {
	{ .old_name = "int_pow", .new_func = new_int_pow },
	OTHERS
	{ }
};
#undef FUNCTION

#define PATCHED		NULL
#include "patch-module.h"
