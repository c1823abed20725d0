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
 *
 * A kernel is of A32 code or, with CONFIG_THUMB2_KERNEL, of Thumb-2 code (ARM DDI 0406C,
 * sections A5 and A6): instructions of one or two halfwords, the first one at the lower
 * address. A return address or a pointer to a function then has bit 0 set; the pc of an
 * exception has not.
 */
#ifndef _SUTURE_ARCH_H
#define _SUTURE_ARCH_H

#include <linux/compiler.h>
#include <linux/highmem.h>
#include <linux/kprobes.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/uaccess.h>
#include <asm/opcodes.h>
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

/* Where the code is that a pointer to a function or a return address leads to. */
static inline unsigned long arch_code_address(unsigned long pointer)
{
	return IS_ENABLED(CONFIG_THUMB2_KERNEL) ? pointer & ~1UL : pointer;
}

/* The pointer to the code at an address. */
static inline unsigned long arch_code_pointer(unsigned long address)
{
	return IS_ENABLED(CONFIG_THUMB2_KERNEL) ? address | 1 : address;
}

/*
 * How far apart kprobes can be. In Thumb-2 code instructions begin at halfwords, and a kprobe's
 * address may have bit 0 set as pointers to functions have.
 */
#define ARCH_PROBE_STEP	(IS_ENABLED(CONFIG_THUMB2_KERNEL) ? 1 : sizeof(u32))

/* How far before a return address the call is, or its second halfword. */
#define ARCH_CALL_END	(IS_ENABLED(CONFIG_THUMB2_KERNEL) ? sizeof(u16) : sizeof(u32))

/* The same as arch_follows_call() in Thumb-2 code. */
static inline bool arch_follows_thumb_call(unsigned long address)
{
	u16 halves[2];

	if (!(address & 1) ||
	    copy_from_kernel_nofault(halves, (void *)(address - 1 - sizeof(halves)),
				     sizeof(halves)))
		return false;
	return ((halves[0] & 0xf800) == 0xf000 &&
		(halves[1] & 0xc000) == 0xc000) ||	/* bl label, blx label */
	       (halves[1] & 0xff87) == 0x4780 ||	/* blx rX */
	       halves[1] == 0xde18 ||			/* udf #24: a kprobe's */
	       (halves[0] == 0xf7f0 && halves[1] == 0xa018);	/* its wide form */
}

/*
 * Whether the instruction before @address is a call, so that it may be returned to, or
 * what a kprobe may have put in place of one (arch/arm/probes/kprobes, Linux 6.1).
 */
static inline bool arch_follows_call(unsigned long address)
{
	u32 words[2];

	if (IS_ENABLED(CONFIG_THUMB2_KERNEL))
		return arch_follows_thumb_call(address);

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
 *
 * Of Thumb-2 code the kernel takes the halfword at the lower address as the upper one of a
 * number, and writes one halfword only if that is 0.
 */
static inline int arch_write_text(u32 *address, u32 word)
{
	if (IS_ENABLED(CONFIG_THUMB2_KERNEL)) {
		if (__opcode_is_thumb16(swahw32(word)))
			return -EINVAL;
		__patch_text_real(address, swahw32(word), true);
	} else {
		__patch_text_real(address, word, true);
	}
	/* It is written at another address, and a cache may have what was here. */
	flush_kernel_vmap_range(address, sizeof(word));
	return READ_ONCE(*address) == word ? 0 : -EFAULT;
}

#ifdef CONFIG_KPROBES
/*
 * The halfword that a kprobe has saved, if one is on it: on the instruction that begins
 * there, or on a wide one that begins one halfword before.
 */
static inline bool arch_half_under_kprobe(unsigned long address, u16 *half)
{
	const struct kprobe *probe = get_kprobe((void *)(address | 1)) ?:
				     get_kprobe((void *)address);

	if (probe) {
		*half = __opcode_is_thumb32(probe->opcode) ?
			__opcode_thumb32_first(probe->opcode) : probe->opcode;
		return true;
	}
	address -= sizeof(u16);
	probe = get_kprobe((void *)(address | 1)) ?: get_kprobe((void *)address);
	if (!probe || !__opcode_is_thumb32(probe->opcode))
		return false;
	*half = __opcode_thumb32_second(probe->opcode);
	return true;
}

/*
 * The word at @address as it is without kprobes; false if none is there or it cannot be
 * read. Preemption is off.
 */
static inline bool arch_word_under_kprobe(const u32 *address, u32 *word)
{
	unsigned long at = (unsigned long)address;
	const struct kprobe *probe;
	u16 halves[2];

	if (!IS_ENABLED(CONFIG_THUMB2_KERNEL)) {
		probe = get_kprobe((void *)address);
		if (probe)
			*word = probe->opcode;
		return probe;
	}
	if (copy_from_kernel_nofault(halves, address, sizeof(halves)) ||
	    !(arch_half_under_kprobe(at, &halves[0]) |
	      arch_half_under_kprobe(at + sizeof(u16), &halves[1])))
		return false;
	*word = halves[0] | (u32)halves[1] << 16;
	return true;
}
#endif

/* What instructions begin at, in bytes. */
#define ARCH_CODE_ALIGN	(IS_ENABLED(CONFIG_THUMB2_KERNEL) ? sizeof(u16) : sizeof(u32))

/*
 * Whether caches can be told of many words at once. In a kernel for ARMv7 and later alone: data
 * caches go by physical addresses there (ARM DDI 0406C, B2.2.6), so each word is cleaned
 * by the address where it was written, and each processor drops all that it has fetched.
 */
static inline bool arch_tells_caches_once(void)
{
	return __LINUX_ARM_ARCH__ >= 7;
}

/*
 * Before the first is cleaned, also for Cortex-A9 (erratum 764369). Not mb(): that may call
 * functions of the kernel, for caches beyond the point of unification, and any function may
 * have just got another entry.
 */
static inline void arch_words_are_written(void)
{
	dsb(ish);
}

/*
 * To the point of unification, where instructions come from: DCCMVAU (B4.2.1). A word of
 * Thumb-2 code may lie in two lines.
 */
static inline void arch_clean_word(void *address)
{
	asm volatile("mcr p15, 0, %0, c7, c11, 1" : : "r" (address) : "memory");
	if (IS_ENABLED(CONFIG_THUMB2_KERNEL))
		asm volatile("mcr p15, 0, %0, c7, c11, 1" : : "r" (address + sizeof(u16)) : "memory");
}

/* After all words; the rest is each processor's own. */
static inline void arch_words_are_clean(unsigned long ip)
{
	dsb(ish);
}

/*
 * Has this processor execute what others have written, to whom it has listened (a load with
 * acquire): instruction cache and branch predictor are invalidated, ICIALLU and BPIALL
 * (B4.2.1). Both are local, so this needs no other processor and none with the multiprocessing
 * extensions. Before ARMv7 flush_icache_range() has done it.
 */
static inline void arch_synchronize(void)
{
	if (__LINUX_ARM_ARCH__ >= 7) {
		dsb(ish);
		asm volatile("mcr p15, 0, %0, c7, c5, 0\n\t"
			     "mcr p15, 0, %0, c7, c5, 6" : : "r" (0) : "memory");
		dsb(ish);
	}
	isb();
}

/* ---- islands ---- */

/*
 * The core's own text, which a branch of the kernel's text reaches where the loader has
 * found room for the core in the module area, next below the kernel: at most 32 MB away, in
 * Thumb-2 code 16 MB (arch/arm/include/asm/memory.h, Linux 6.1, MODULES_VADDR).
 */
#define ARCH_ISLAND_ROOMS	1
/* udf #0, in Thumb-2 code twice: who gets in there is stopped. */
#ifdef CONFIG_THUMB2_KERNEL
#define ARCH_ISLAND_FILL	0xde00de00
#else
#define ARCH_ISLAND_FILL	0xe7f000f0
#endif
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
	frame->regs.pc = leaf ? pc : pc - ARCH_CALL_END;
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
