/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the core uses of the kernel although the kernel does not export it.
 *
 * Such functions are declared weak, so that modpost leaves them undefined. Then
 * src/link/bind-core.ts, which has the list of those that may be used, gives each its
 * address in the one kernel that the core is for, and defines suture_core_table, which
 * says what kernel that is. Only functions: their addresses are in the image's
 * kallsyms. Those of one architecture are declared in its suture-arch.h.
 */
#ifndef _SUTURE_BOUND_H
#define _SUTURE_BOUND_H

#include <linux/compiler.h>
#include <linux/sched.h>
#include <linux/types.h>

struct callback_head;
struct kprobe;
struct module;
struct seq_file;

/* The bytes "SUTC" in a little-endian u32. */
#define SUTURE_CORE_MAGIC	0x43545553

/* As src/link/bind-core.ts writes it; the u32s come first, so there is no padding. */
struct suture_core_table {
	u32 magic;
	/* In bytes. */
	u32 build_id_size;
	/* As in struct suture_patch_table. */
	unsigned long build_id_address;
	const u8 *build_id;
};

extern const struct suture_core_table suture_core_table __weak;

/* kernel/sched/core.c: the idle task of a CPU. */
extern struct task_struct *idle_task(int cpu) __weak;

/* is_idle_task() goes by PF_IDLE, which the only processor of a machine never gets. */
static inline bool suture_is_idle(const struct task_struct *task)
{
	return !task->pid;
}

/* kernel/sched/core.c: wakes a task that sleeps in this state. */
extern int wake_up_state(struct task_struct *task, unsigned int state) __weak;

/* kernel/task_work.c: takes the first that matches out of a task's list, or NULL. */
extern struct callback_head *
task_work_cancel_match(struct task_struct *task,
		       bool (*match)(struct callback_head *work, void *data),
		       void *data) __weak;

/* kernel/module/main.c: a module that is at least COMING, with preemption disabled. */
extern struct module *find_module(const char *name) __weak;

/* kernel/kprobes.c: what has its breakpoint there, with preemption disabled. */
#ifdef CONFIG_KPROBES
extern struct kprobe *get_kprobe(void *address) __weak;
#endif

/* kernel/kprobes.c: these lock and unlock kprobe_mutex; the arguments do not matter. */
#if defined(CONFIG_KPROBES) && defined(CONFIG_DEBUG_FS)
#define SUTURE_BINDS_KPROBE_MUTEX
extern void *kprobe_blacklist_seq_start(struct seq_file *m, loff_t *pos) __weak;
extern void kprobe_blacklist_seq_stop(struct seq_file *m, void *v) __weak;
#endif

/*
 * What stands on a stack, or in a register, instead of a return address that
 * function_graph or a kretprobe keeps elsewhere.
 */
extern void return_to_handler(void) __weak;
extern void __kretprobe_trampoline(void) __weak;

/* bound.c */
int suture_check_core(void);
bool suture_kernel_has_build_id(unsigned long address, const u8 *id, u32 size);

#endif /* _SUTURE_BOUND_H */
