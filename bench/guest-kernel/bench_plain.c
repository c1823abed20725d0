// SPDX-License-Identifier: GPL-2.0-only
/*
 * The new function, as a module exports it: what a plain call of it costs.
 */
#include <linux/module.h>

#include "power.h"

u64 bench_plain(u64 base, unsigned int exp);
POWER(bench_plain)
EXPORT_SYMBOL_GPL(bench_plain);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Suture: a function whose plain calls are measured");
