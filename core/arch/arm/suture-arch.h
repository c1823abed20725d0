/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel has no common name for, on 32-bit ARM. */
#ifndef _SUTURE_ARCH_H
#define _SUTURE_ARCH_H

#include <linux/sched.h>
#include <linux/thread_info.h>

/* The stack pointer that __switch_to put into thread_info when it left @task. */
static inline unsigned long arch_saved_sp(struct task_struct *task)
{
	return thread_saved_sp(task);
}

#endif /* _SUTURE_ARCH_H */
