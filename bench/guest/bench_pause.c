// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long the machine is stopped: what stop_machine() calls on each CPU is probed, and
 * `FUNCTION NANOSECONDS` written down for each time that it was called, to be read from
 * /proc/suture_pause, which forgets them then. The probe's own instructions between the
 * two readings of the clock are included: a few hundred.
 */
#include <linux/kprobes.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/stop_machine.h>

/* What multi_cpu_stop() is given begins with it (struct multi_stop_data, kernel/stop_machine.c). */
struct stop {
	cpu_stop_fn_t function;
};

struct pause {
	cpu_stop_fn_t function;
	u64 nanoseconds;
};

static struct pause pauses[64];
static unsigned int count;
static DEFINE_RAW_SPINLOCK(lock);

static int stops(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct pause *pause = (void *)instance->data;
#ifdef CONFIG_ARM
	struct stop *stop = (void *)regs->ARM_r0;
#else
	struct stop *stop = (void *)regs->gpr[3];
#endif

	pause->function = stop->function;
	pause->nanoseconds = ktime_get_mono_fast_ns();
	return 0;
}
NOKPROBE_SYMBOL(stops);

static int goes_on(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct pause *pause = (void *)instance->data;
	u64 now = ktime_get_mono_fast_ns();
	unsigned long flags;

	raw_spin_lock_irqsave(&lock, flags);
	if (count < ARRAY_SIZE(pauses)) {
		pauses[count] = *pause;
		pauses[count++].nanoseconds = now - pause->nanoseconds;
	}
	raw_spin_unlock_irqrestore(&lock, flags);
	return 0;
}
NOKPROBE_SYMBOL(goes_on);

static struct kretprobe probe = {
	.kp.symbol_name = "multi_cpu_stop",
	.entry_handler = stops,
	.handler = goes_on,
	.data_size = sizeof(struct pause),
};

static int pause_show(struct seq_file *m, void *v)
{
	static struct pause seen[ARRAY_SIZE(pauses)];
	unsigned int i, found;
	unsigned long flags;

	raw_spin_lock_irqsave(&lock, flags);
	found = count;
	memcpy(seen, pauses, sizeof(seen));
	count = 0;
	raw_spin_unlock_irqrestore(&lock, flags);
	for (i = 0; i < found; i++)
		seq_printf(m, "%ps %llu\n", seen[i].function, seen[i].nanoseconds);
	return 0;
}

static int __init pause_init(void)
{
	int ret = register_kretprobe(&probe);

	if (ret)
		return ret;
	if (!proc_create_single("suture_pause", 0444, NULL, pause_show)) {
		unregister_kretprobe(&probe);
		return -ENOMEM;
	}
	return 0;
}

static void __exit pause_exit(void)
{
	remove_proc_entry("suture_pause", NULL);
	unregister_kretprobe(&probe);
}

module_init(pause_init);
module_exit(pause_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Suture: how long the machine is stopped");
