/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A patch of the first so and so many functions of bench_target.c, written for the kernel's
 * own livepatch and for Suture alike. FUNCTIONS says of which.
 */
#include <linux/livepatch.h>

#include "functions.h"

#define FUNCTION(n)	static called void new_##n(void) { }
FUNCTIONS
#undef FUNCTION

#define FUNCTION(n)	{ .old_name = "bench_" #n, .new_func = new_##n },
static struct klp_func funcs[] = { FUNCTIONS { } };
#undef FUNCTION

#define PATCHED		"bench_target"
#include "patch-module.h"
