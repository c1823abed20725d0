/* SPDX-License-Identifier: GPL-2.0-only */
/* What a call of the functions under stress leaves behind: target.c, patch.c. */
#ifndef _STRESS_CALL_H
#define _STRESS_CALL_H

#include <linux/sched.h>

struct stress_call {
	int outer;			/* the version of stress_outer() */
	int inner;			/* of stress_inner() */
	unsigned long block_ms;		/* how long to sleep between the two; 0 for not at all */
	void (*call_inner)(struct stress_call *call);	/* so a patch need not find it */
};

/* Between the two functions: the moment at which a switch would do harm. */
static inline void stress_pause(const struct stress_call *call)
{
	if (call->block_ms)
		schedule_timeout_interruptible(msecs_to_jiffies(call->block_ms));
	else
		cond_resched();
}

#endif
