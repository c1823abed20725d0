// SPDX-License-Identifier: GPL-2.0-only
/* The second function of one name in target.ko. */
#include <linux/compiler.h>

int (*target_other_twin(void))(void);

static noinline int twin(void)
{
	return 2;
}

int (*target_other_twin(void))(void)
{
	return twin;
}
