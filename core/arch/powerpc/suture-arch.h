/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel has no common name for, on 64-bit PowerPC. */
#ifndef _SUTURE_ARCH_H
#define _SUTURE_ARCH_H

#include <linux/sched.h>
#include <asm/processor.h>

/* r1 as _switch put it into thread_struct when it left @task: the base of its switch frame. */
static inline unsigned long arch_saved_sp(struct task_struct *task)
{
	return task->thread.ksp;
}

#endif /* _SUTURE_ARCH_H */
