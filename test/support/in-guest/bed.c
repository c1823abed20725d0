// SPDX-License-Identifier: GPL-2.0-only
/*
 * Somewhere to sleep, for tests. /proc/bed takes
 * - a write: the writer sleeps in go_to_bed(), called by enter_room(), until a signal
 *   comes;
 * - a read of one byte: the reader's memory is written in touch(), called by
 *   enter_room();
 * - a read of more: bytes are copied there in copy(), called by enter_room();
 * - a read of two: the reader runs in spin(), called by enter_room(), until a signal
 *   comes;
 * - mmap: whoever touches the memory sleeps in the fault until a signal comes.
 * /proc/bed-functions has the run-time addresses of these functions, "NAME ADDRESS" a
 * line.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

static noinline int go_to_bed(void)
{
	while (!signal_pending(current))
		schedule_timeout_interruptible(MAX_SCHEDULE_TIMEOUT);
	return -EINTR;
}

/* A leaf as far as C can tell. */
static noinline int touch(char __user *to)
{
	return put_user('x', to);
}

static noinline int copy(char __user *to)
{
	char from[256];

	memset(from, 0, sizeof(from));
	return copy_to_user(to, from, sizeof(from)) ? -EFAULT : 0;
}

static noinline int spin(void)
{
	while (!signal_pending(current))
		cpu_relax();
	return -EINTR;
}

static noinline int enter_room(char __user *to, size_t size)
{
	int ret = !to ? go_to_bed() : size == 1 ? touch(to) :
		  size == 2 ? spin() : copy(to);

	barrier();
	return ret;
}

static ssize_t bed_write(struct file *file, const char __user *from, size_t size,
			 loff_t *at)
{
	int ret = enter_room(NULL, size);

	barrier();
	return ret ?: size;
}

static ssize_t bed_read(struct file *file, char __user *to, size_t size, loff_t *at)
{
	int ret = enter_room(to, size);

	barrier();
	return ret ?: size;
}

static vm_fault_t sleep_in_fault(struct vm_fault *fault)
{
	while (!signal_pending(current))
		schedule_timeout_interruptible(MAX_SCHEDULE_TIMEOUT);
	return VM_FAULT_SIGBUS;
}

static const struct vm_operations_struct vm_ops = { .fault = sleep_in_fault };

static int bed_mmap(struct file *file, struct vm_area_struct *area)
{
	area->vm_ops = &vm_ops;
	return 0;
}

static const struct proc_ops bed_ops = {
	.proc_write = bed_write,
	.proc_read = bed_read,
	.proc_mmap = bed_mmap,
};

static int functions_show(struct seq_file *m, void *v)
{
	seq_printf(m, "go_to_bed %px\ntouch %px\ncopy %px\n", go_to_bed, touch, copy);
	seq_printf(m, "spin %px\nenter_room %px\nbed_read %px\n", spin, enter_room,
		   bed_read);
	return 0;
}

static int __init bed_init(void)
{
	proc_create("bed", 0666, NULL, &bed_ops);
	proc_create_single("bed-functions", 0400, NULL, functions_show);
	return 0;
}

static void __exit bed_exit(void)
{
	remove_proc_entry("bed", NULL);
	remove_proc_entry("bed-functions", NULL);
}

module_init(bed_init);
module_exit(bed_exit);
MODULE_DESCRIPTION("Somewhere to sleep, for tests");
MODULE_LICENSE("GPL");
