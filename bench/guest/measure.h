/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writes to a seq_file what so many calls take, in a loop with interrupts off: `NAME CALLS
 * NANOSECONDS`.
 *
 * In a guest whose time follows its instructions (-icount shift=0) a nanosecond is an
 * instruction.
 */
#include <linux/irqflags.h>
#include <linux/ktime.h>
#include <linux/seq_file.h>

#define MEASURE(m, name, calls, call)						\
	do {									\
		unsigned long flags, left;					\
		u64 start, end;							\
										\
		local_irq_save(flags);						\
		start = ktime_get_raw_ns();					\
		for (left = (calls); left; left--)				\
			call;							\
		end = ktime_get_raw_ns();					\
		local_irq_restore(flags);					\
		seq_printf(m, "%s %d %llu\n", name, calls, end - start);	\
	} while (0)
