/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel has no common name for, on 64-bit PowerPC: the frames of a task that
 * is switched out, what a call looks like, and writing a word of text.
 *
 * r1 always points to a back chain: the address of the caller's frame (OpenPOWER ELFv2
 * ABI 1.5, section 2.2.3). A function that calls others has stored its return address
 * at 16(r1) of its caller's frame. So every frame on the chain but the innermost holds
 * the address at which its own function goes on, and no tables are needed.
 *
 * An exception in kernel code makes a frame of one fixed size, with a marker and the
 * registers (arch/powerpc/kernel/exceptions-64s.S, Linux 6.1), and the back chain goes
 * on through it.
 */
#ifndef _SUTURE_ARCH_H
#define _SUTURE_ARCH_H

#include <linux/compiler.h>
#include <linux/sizes.h>
#include <linux/kprobes.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/uaccess.h>
#include <asm/cacheflush.h>
#include <asm/cpu_has_feature.h>
#include <asm/inst.h>
#include <asm/interrupt.h>
#include <asm/processor.h>

#include "../../bound.h"

/* Bound by address (bound.h). arch/powerpc/lib/code-patching.c. */
extern int patch_instruction(u32 *addr, ppc_inst_t instr) __weak;

/* The primary opcode of the first word of a prefixed instruction (Power ISA 3.1). */
#define SUTURE_OP_PREFIX	1

/* ---- instructions ---- */

/* Where the code is that a pointer to a function or a return address leads to. */
static inline unsigned long arch_code_address(unsigned long pointer)
{
	return pointer;
}

/* The pointer to the code at an address. */
static inline unsigned long arch_code_pointer(unsigned long address)
{
	return address;
}

/*
 * Whether the instruction before @address is a call, so that it may be returned to, or
 * what a kprobe may have put in place of one (arch/powerpc/kernel/kprobes.c and
 * optprobes.c, Linux 6.1).
 */
static inline bool arch_follows_call(unsigned long address)
{
	u32 word;

	if (!IS_ALIGNED(address, sizeof(u32)) ||
	    get_kernel_nofault(word, (u32 *)(address - sizeof(u32))))
		return false;
	return (word & 0xfc000001) == 0x48000001 ||	/* bl, bla */
	       (word & 0xfc000001) == 0x40000001 ||	/* bcl, bcla */
	       (word & 0xfc0007ff) == 0x4c000421 ||	/* bcctrl */
	       (word & 0xfc0007ff) == 0x4c000021 ||	/* bclrl */
	       word == 0x7fe00008 ||			/* trap: a kprobe's */
	       (word & 0xfc000003) == 0x48000000;	/* b: an optimized one's */
}

/* How far apart kprobes can be. */
#define ARCH_PROBE_STEP	sizeof(u32)

/*
 * Writes one word of text, and has the instruction cache see it. Nobody may be about to
 * execute it, unless the machine is stopped.
 */
static inline int arch_write_text(u32 *address, u32 word)
{
	/* The kernel would write the word behind a prefix with it. */
	if (word >> 26 == SUTURE_OP_PREFIX)
		return -EINVAL;
	return patch_instruction(address, ppc_inst(word));
}

#ifdef CONFIG_KPROBES
/* The word at @address as it is without a kprobe; false if none is there. Preemption is off. */
static inline bool arch_word_under_kprobe(const u32 *address, u32 *word)
{
	const struct kprobe *probe = get_kprobe((void *)address);

	if (probe)
		*word = probe->opcode;
	return probe;
}
#endif

/* What instructions begin at, in bytes. */
#define ARCH_CODE_ALIGN	sizeof(u32)

/*
 * Whether caches can be told of many words at once: an instruction cache that snoops only
 * needs what has been prefetched to be dropped (flush_icache_range(), which does no more for
 * any range; arch/powerpc/mm/cacheflush.c, Linux 6.1). So it is from POWER5 on, and thus on
 * all little-endian ones.
 */
static inline bool arch_tells_caches_once(void)
{
	return cpu_has_feature(CPU_FTR_COHERENT_ICACHE);
}

/* flush_icache_range() waits for the stores by itself. */
static inline void arch_words_are_written(void)
{
}

static inline void arch_clean_word(void *address)
{
}

/* After all words; @ip is that of one of them. */
static inline void arch_words_are_clean(unsigned long ip)
{
	flush_icache_range(ip, ip + sizeof(u32));
}

/* Has this processor execute what others have written; their caches are told already. */
static inline void arch_synchronize(void)
{
	isync();
}

/* ---- islands ---- */

/*
 * The kernel's own mapping before its init text, which begins on a big page
 * (STRICT_ALIGN_SIZE in arch/powerpc/kernel/vmlinux.lds.S, Linux 6.1): what lies before it
 * is zero, executable and used by nobody. A branch reaches 32 MB.
 */
#define ARCH_ISLAND_ROOMS	1
#define ARCH_ISLAND_FILL	0
#define ARCH_ISLAND_BYTES	SZ_256K

extern char __init_begin[] __weak;

static inline void arch_island_room(unsigned int room, unsigned long *start,
				    unsigned long *end)
{
	*end = (unsigned long)__init_begin;
	*start = *end - ARCH_ISLAND_BYTES;
}

/* ---- frames ---- */

struct arch_frame {
	unsigned long sp;
	/* Where this frame's function goes on; 0 if the frame does not say. */
	unsigned long pc;
	/* Of a frame that an exception interrupted: what LR was; else 0. */
	unsigned long link;
};

static inline unsigned long arch_word_at(unsigned long address)
{
	return READ_ONCE_NOCHECK(*(unsigned long *)address);
}

/*
 * The outermost frame, which the entry code makes: before the user's registers, for
 * which kernel threads have room too; an idle task has none (cpu_idle_thread_init()).
 */
static inline unsigned long arch_last_sp(struct task_struct *task)
{
	unsigned long end = (unsigned long)task_stack_page(task) + THREAD_SIZE -
			    STACK_FRAME_OVERHEAD;

	return suture_is_idle(task) ? end : end - sizeof(struct pt_regs);
}

/* The end of what a task's calls can put on its stack; the user's registers lie behind. */
static inline unsigned long arch_stack_end(struct task_struct *task)
{
	return arch_last_sp(task) + STACK_FRAME_OVERHEAD;
}

/*
 * The frame that _switch made. Its LR save is anybody's; what _switch returns to is in
 * its caller's frame. A task that has never run has a frame there without a back chain
 * (copy_thread()), and has called nothing yet.
 */
static inline void arch_first_frame(struct task_struct *task,
				    struct arch_frame *frame)
{
	unsigned long last = arch_last_sp(task);

	frame->sp = task->thread.ksp;
	frame->pc = 0;
	frame->link = 0;
	if (frame->sp == last - STACK_FRAME_WITH_PT_REGS)
		frame->sp = last;
}

/* The frame of the function that this is inlined in, which has made it. */
static __always_inline void arch_own_frame(struct arch_frame *frame)
{
	frame->sp = current_stack_pointer;
	frame->pc = 0;
	frame->link = 0;
}

static inline unsigned long arch_frame_pc(const struct arch_frame *frame)
{
	return frame->pc;
}

static inline bool arch_pc_is_return(const struct arch_frame *frame)
{
	return frame->pc;
}

static inline unsigned long arch_frame_sp(const struct arch_frame *frame)
{
	return frame->sp;
}

static inline bool arch_is_last_frame(struct task_struct *task,
				      const struct arch_frame *frame)
{
	return frame->sp == arch_last_sp(task);
}

static inline struct pt_regs *arch_regs_in(const struct arch_frame *frame)
{
	return (struct pt_regs *)(frame->sp + STACK_FRAME_OVERHEAD);
}

/*
 * The marker alone may be anybody's word. The frame's size, and r1 as saved in it, are
 * not to be had by choosing what a function keeps in its frame.
 */
static inline bool arch_is_exception(const struct arch_frame *frame)
{
	unsigned long back;

	if (!frame->pc)
		return false;
	back = arch_word_at(frame->sp);
	return back - frame->sp == STACK_INT_FRAME_SIZE &&
	       arch_word_at(frame->sp + STACK_FRAME_MARKER * sizeof(long)) ==
		       STACK_FRAME_REGS_MARKER &&
	       READ_ONCE_NOCHECK(arch_regs_in(frame)->gpr[1]) == back;
}

/*
 * Whether the interrupted instruction itself was the cause: a data storage or segment
 * interrupt (Power ISA 3.1, Book III, section 7.5).
 */
static inline bool arch_is_fault(const struct arch_frame *frame)
{
	unsigned long trap = TRAP(arch_regs_in(frame));

	return trap == INTERRUPT_DATA_STORAGE || trap == INTERRUPT_DATA_SEGMENT;
}

/*
 * The caller's frame. False if it cannot be told: the back chain does not lead up the
 * same stack. @pc, the frame's own, is not needed.
 *
 * A function that was interrupted may not have stored its return address yet, although
 * it has its frame: gcc does that where it first calls somebody. Then it is in LR, and
 * the caller's frame holds anything, or what the caller's last call returned to.
 */
static inline bool arch_next_frame(struct task_struct *task,
				   struct arch_frame *frame, unsigned long pc)
{
	unsigned long last = arch_last_sp(task);
	unsigned long back;

	if (!IS_ALIGNED(frame->sp, 16) || frame->sp > last - STACK_FRAME_MIN_SIZE)
		return false;
	back = arch_word_at(frame->sp);
	if (back <= frame->sp || !IS_ALIGNED(back, 16) ||
	    (back != last && back > last - STACK_FRAME_MIN_SIZE))
		return false;
	frame->sp = back;
	frame->pc = arch_word_at(back + STACK_FRAME_LR_SAVE * sizeof(long));
	if (frame->link && !arch_follows_call(frame->pc) &&
	    frame->pc != (unsigned long)return_to_handler &&
	    frame->pc != (unsigned long)__kretprobe_trampoline)
		frame->pc = frame->link;
	frame->link = 0;
	return true;
}

/*
 * From the frame of an exception to what it interrupted: @pc next, with LR at @lr. The
 * LR save of that frame is left alone: if it holds anything, then what an earlier call
 * returned to in the very function that the frame belongs to.
 */
static inline bool arch_interrupted_frame(struct task_struct *task,
					  struct arch_frame *frame,
					  unsigned long *pc, unsigned long *lr)
{
	*pc = READ_ONCE_NOCHECK(arch_regs_in(frame)->nip);
	*lr = READ_ONCE_NOCHECK(arch_regs_in(frame)->link);
	if (!arch_next_frame(task, frame, 0))
		return false;
	frame->pc = 0;
	frame->link = *lr;
	return true;
}

/* A function without a frame is on the chain by its caller's, and lr tells the rest. */
static inline bool arch_caller_without_frame(const struct arch_frame *interrupted,
					     struct arch_frame *caller)
{
	return false;
}

/*
 * Where unwinding does not get: whether the words at @at and behind it, up to @end, are
 * the marker of an exception's frame and registers, and if so their pc and lr.
 */
static inline bool arch_looks_like_regs(const unsigned long *at, unsigned long end,
					unsigned long *pc, unsigned long *lr)
{
	const struct pt_regs *regs = (void *)(at - STACK_FRAME_MARKER) +
				     STACK_FRAME_OVERHEAD;

	if (*at != STACK_FRAME_REGS_MARKER || (unsigned long)(regs + 1) > end)
		return false;
	*pc = READ_ONCE_NOCHECK(regs->nip);
	*lr = READ_ONCE_NOCHECK(regs->link);
	return true;
}

#endif /* _SUTURE_ARCH_H */
