/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel has no common name for, on 32-bit ARM: the frames of a task that is
 * switched out, what a call looks like, and writing a word of text.
 *
 * ARM code has no chain of frames. The kernel's unwinder goes by the tables that the
 * compiler makes (EHABI32, IHI 0038): one entry a function, true wherever it has made
 * its frame and not yet taken it down, and so at every call.
 *
 * An exception in kernel code leaves its registers on the stack (svc_entry in
 * arch/arm/kernel/entry-armv.S, Linux 6.1), and the tables say so. Unwinding from there
 * gives the state at the interrupted instruction.
 */
#ifndef _SUTURE_ARCH_H
#define _SUTURE_ARCH_H

#include <linux/compiler.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/uaccess.h>
#include <asm/patch.h>
#include <asm/processor.h>
#include <asm/sections.h>
#include <asm/stacktrace.h>
#include <asm/thread_info.h>

#include "../../bound.h"

/* Bound by address (bound.h). arch/arm/kernel/unwind.c, arch/arm/kernel/patch.c. */
extern int unwind_frame(struct stackframe *frame) __weak;
extern void __patch_text_real(void *addr, unsigned int insn, bool remap) __weak;
/* The bounds of the entry code, for in_entry_text(): arch/arm/kernel/vmlinux.lds.S. */
extern char __entry_text_start[] __weak;
extern char __entry_text_end[] __weak;
/* What handles a data abort in kernel code, and what comes behind: entry-armv.S. */
extern char __dabt_svc[] __weak;
extern char __irq_svc[] __weak;

/*
 * What a system call pushes below the user's registers: its fifth and sixth argument
 * (S_OFF in arch/arm/kernel/entry-header.S).
 */
#define ARCH_SYSCALL_ARGUMENTS	8

/* ---- instructions ---- */

/*
 * Whether the instruction before @address is a call, so that it may be returned to, or
 * what a kprobe may have put in place of one (arch/arm/probes/kprobes, Linux 6.1).
 */
static inline bool arch_follows_call(unsigned long address)
{
	u32 words[2];

	if (!IS_ALIGNED(address, sizeof(u32)) ||
	    copy_from_kernel_nofault(words, (void *)(address - sizeof(words)),
				     sizeof(words)))
		return false;
	return (words[1] & 0x0f000000) == 0x0b000000 ||	/* bl<c> label */
	       (words[1] & 0xfe000000) == 0xfa000000 ||	/* blx label */
	       (words[1] & 0x0ffffff0) == 0x012fff30 ||	/* blx<c> rX */
	       words[0] == 0xe1a0e00f ||		/* mov lr, pc; any branch */
	       (words[1] & 0x0fffffff) == 0x07f001f8 ||	/* udf: a kprobe's */
	       (words[1] & 0xff000000) == 0xea000000;	/* b label: an optimized one's */
}

/*
 * Writes one word of text, and has the instruction cache see it. Nobody may be about to
 * execute it, unless the machine is stopped.
 */
static inline int arch_write_text(u32 *address, u32 word)
{
	__patch_text_real(address, word, true);
	return READ_ONCE(*address) == word ? 0 : -EFAULT;
}

/* Has this processor execute what others have written; their caches are told already. */
static inline void arch_synchronize(void)
{
	isb();
}

/* ---- islands ---- */

/*
 * The core's own text, which a branch of the kernel's text reaches where the loader has
 * found room for the core in the module area, next below the kernel: at most 32 MB away.
 */
#define ARCH_ISLAND_ROOMS	1
#define ARCH_ISLAND_FILL	0xe7f000f0	/* udf #0: who gets in there is stopped */
#define ARCH_OWN_ISLANDS	4096		/* words */

extern char suture_own_islands[];

static inline void arch_island_room(unsigned int room, unsigned long *start,
				    unsigned long *end)
{
	*start = (unsigned long)suture_own_islands;
	*end = *start + ARCH_OWN_ISLANDS * sizeof(u32);
}

/* ---- frames ---- */

struct arch_frame {
	/* pc: where this function goes on, sp: what it has then, lr: only at an exception. */
	struct stackframe regs;
	/* pc is the very instruction, and not what a call returns to. */
	bool interrupted;
};

/*
 * The end of what a task's calls can put on its stack. The user's registers lie behind,
 * for which kernel threads have room too, and idle tasks have not.
 */
static inline unsigned long arch_stack_end(struct task_struct *task)
{
	return suture_is_idle(task) ?
		(unsigned long)task_stack_page(task) + THREAD_START_SP :
		(unsigned long)task_pt_regs(task);
}

/* The task's innermost frame, as __switch_to saved it. */
static inline void arch_first_frame(struct task_struct *task,
				    struct arch_frame *frame)
{
	*frame = (struct arch_frame){
		.regs = {
			.fp = thread_saved_fp(task),
			.sp = thread_saved_sp(task),
			.pc = thread_saved_pc(task),
		},
	};
}

/* The frame of the function that this is inlined in, which has made it. */
static __always_inline void arch_own_frame(struct arch_frame *frame)
{
	unsigned long pc;

	asm volatile("mov %0, pc" : "=r" (pc));
	*frame = (struct arch_frame){
		.regs = {
			.fp = (unsigned long)__builtin_frame_address(0),
			.sp = current_stack_pointer,
			.pc = pc,
		},
		.interrupted = true,
	};
}

static inline unsigned long arch_frame_pc(const struct arch_frame *frame)
{
	return frame->regs.pc;
}

static inline unsigned long arch_frame_sp(const struct arch_frame *frame)
{
	return frame->regs.sp;
}

/* Whether pc is what a call returns to. */
static inline bool arch_pc_is_return(const struct arch_frame *frame)
{
	return !frame->interrupted;
}

/*
 * Back in the entry code, with nothing on the stack but what that put there. An idle
 * task came from code that is gone.
 */
static inline bool arch_is_last_frame(struct task_struct *task,
				      const struct arch_frame *frame)
{
	unsigned long left = arch_stack_end(task) - frame->regs.sp;

	if (suture_is_idle(task))
		return left == 0;
	return (left == 0 || left == ARCH_SYSCALL_ARGUMENTS) &&
	       in_entry_text(frame->regs.pc);
}

/* Entry code that is not the last frame has saved the registers of kernel code. */
static inline bool arch_is_exception(const struct arch_frame *frame)
{
	return in_entry_text(frame->regs.pc);
}

/*
 * Whether the interrupted instruction itself was the cause: a data abort. A task sleeps
 * or is preempted in its handler only if it was an access to user memory, and gcc moves
 * none of those into a prologue (they are volatile asm).
 */
static inline bool arch_is_fault(const struct arch_frame *frame)
{
	return frame->regs.pc >= (unsigned long)__dabt_svc &&
	       frame->regs.pc < (unsigned long)__irq_svc;
}

/*
 * The frame of the caller, whose pc was found to be @pc. False if it cannot be told:
 * there is no entry for @pc, or it would lie outside the rest of the stack.
 */
static inline bool arch_next_frame(struct task_struct *task,
				   struct arch_frame *frame, unsigned long pc)
{
	unsigned long sp = frame->regs.sp;
	bool leaf = frame->interrupted;

	/*
	 * By the call itself: a call that does not return may be a function's last
	 * instruction, and what it would return to is the next function.
	 */
	frame->regs.pc = leaf ? pc : pc - sizeof(u32);
	frame->interrupted = false;
	if (unwind_frame(&frame->regs) < 0)
		return false;
	/* Who has called somebody keeps a return address on the stack. */
	return (leaf ? frame->regs.sp >= sp : frame->regs.sp > sp) &&
	       frame->regs.sp <= arch_stack_end(task) &&
	       IS_ALIGNED(frame->regs.sp, sizeof(long));
}

/* From the frame of an exception to what it interrupted: @pc next, with lr at @lr. */
static inline bool arch_interrupted_frame(struct task_struct *task,
					  struct arch_frame *frame,
					  unsigned long *pc, unsigned long *lr)
{
	if (!arch_next_frame(task, frame, frame->regs.pc))
		return false;
	frame->interrupted = true;
	*pc = frame->regs.pc;
	*lr = frame->regs.lr;
	return true;
}

/*
 * The caller's frame, should the interrupted function have none yet: gcc makes it only
 * on those paths that need it, and the tables do not say where.
 */
static inline bool arch_caller_without_frame(const struct arch_frame *interrupted,
					     struct arch_frame *caller)
{
	*caller = *interrupted;
	caller->regs.pc = interrupted->regs.lr;
	caller->interrupted = false;
	return true;
}

/*
 * Where unwinding does not get: whether the words at @at and behind it, up to @end, are
 * the end of a struct pt_regs of kernel code, and if so its pc and lr. It is told by
 * the mode and by a sp that leads on up the same stack.
 */
static inline bool arch_looks_like_regs(const unsigned long *at, unsigned long end,
					unsigned long *pc, unsigned long *lr)
{
	/* sp, lr, pc, cpsr: struct pt_regs in arch/arm/include/uapi/asm/ptrace.h. */
	if ((unsigned long)(at + 4) > end || at[0] < (unsigned long)(at + 4) ||
	    at[0] > end || (at[3] & MODE_MASK) != SVC_MODE)
		return false;
	*lr = at[1];
	*pc = at[2];
	return true;
}

#endif /* _SUTURE_ARCH_H */
