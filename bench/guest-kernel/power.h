/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What int_pow() becomes. It stands in the patch and in the module that calls it plainly,
 * so that what is called is the same either way.
 */
#define POWER(name)				\
	u64 name(u64 base, unsigned int exp)	\
	{					\
		u64 power = 1;			\
						\
		while (exp--)			\
			power *= base;		\
		return power;			\
	}
