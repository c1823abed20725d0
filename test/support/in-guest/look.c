// SPDX-License-Identifier: GPL-2.0-only
/*
 * The core's look at tasks, to be asked from outside: built with the core's own
 * stack.c, for tests only.
 *
 * "START END" written to /proc/look, hexadecimal, is code that is being left. Each
 * read then looks at all tasks and prints a line for each:
 * - its pid, 0 for idle tasks;
 * - how unwinding ended: end, lost, preempted (lost, but it is about to run), none (it
 *   has no stack, or runs), ? (unreadable);
 * - whether it is inside, in or out;
 * - the same for a search of its whole stack, as where unwinding is lost;
 * - how many words of its stack look like a return into the code;
 * - how many nanoseconds the look took;
 * - its name.
 */
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/sched/clock.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "stack.c"

#define MOST_TASKS	2000

struct seen {
	pid_t pid;
	char name[TASK_COMM_LEN];
	const char *unwound;
	bool inside;
	bool found;
	unsigned int words;
	u64 time;
};

struct seen_tasks {
	struct suture_code code;
	struct suture_codes codes;
	unsigned int count;
	struct seen tasks[MOST_TASKS];
};

static struct suture_code code = { .name = "code" };

static void look_closely(struct seen *one, struct task_struct *task,
			 const struct suture_codes *codes)
{
	struct look look = { .task = task }, search = { .task = task, .codes = codes };
	unsigned long sp, bottom = (unsigned long)task_stack_page(task);
	static const struct suture_codes nothing;
	struct arch_frame frame;

	one->unwound = "none";
	if (!bottom || runs(task))
		return;
	arch_first_frame(task, &frame);
	sp = arch_frame_sp(&frame);
	one->unwound = "?";
	if (sp < bottom || sp > arch_stack_end(task))
		return;
	look.codes = &nothing;
	first_kept(&look);
	one->unwound = "end";
	if (follow(&look, &frame, MOST_EXCEPTIONS) == &lost)
		one->unwound = task->on_rq && !suture_is_idle(task) ? "preempted" : "lost";
	search.unwound_to = sp;
	one->found = search_stack(&search);
	for (; sp < bottom + THREAD_SIZE; sp += sizeof(long)) {
		unsigned long word = *(unsigned long *)sp;

		one->words += code_after_call(codes, word) && arch_follows_call(word);
	}
}

static int look_at(struct task_struct *task, void *data)
{
	struct seen_tasks *seen = data;
	struct seen *one = &seen->tasks[seen->count];
	u64 start;

	if (seen->count++ == MOST_TASKS)
		return -E2BIG;
	one->pid = task->pid;
	memcpy(one->name, task->comm, sizeof(one->name));
	start = local_clock();
	one->inside = suture_inside(task, &seen->codes, NULL);
	one->time = local_clock() - start;
	look_closely(one, task, &seen->codes);
	return 0;
}

static int look_at_all(void *data)
{
	return suture_each_task(look_at, data);
}

static int show(struct seq_file *m, void *v)
{
	struct seen_tasks *seen = kvzalloc(sizeof(*seen), GFP_KERNEL);
	unsigned int i;
	int ret;

	if (!seen)
		return -ENOMEM;
	seen->code = code;
	seen->codes.codes = &seen->code;
	seen->codes.count = 1;
	suture_mark_pages(&seen->codes);
	ret = suture_stop_machine(look_at_all, seen);
	for (i = 0; !ret && i < seen->count; i++) {
		const struct seen *one = &seen->tasks[i];

		seq_printf(m, "%d %s %s %s %u %llu %s\n", one->pid, one->unwound,
			   one->inside ? "in" : "out", one->found ? "in" : "out",
			   one->words, one->time, one->name);
	}
	kvfree(seen);
	return ret;
}

static int look_open(struct inode *inode, struct file *file)
{
	return single_open_size(file, show, NULL, 1 << 18);
}

static ssize_t look_write(struct file *file, const char __user *from, size_t size,
			  loff_t *at)
{
	char text[64] = "";

	if (size >= sizeof(text) || copy_from_user(text, from, size) ||
	    sscanf(text, "%lx %lx", &code.start, &code.end) != 2)
		return -EINVAL;
	return size;
}

static const struct proc_ops look_ops = {
	.proc_open = look_open,
	.proc_read = seq_read,
	.proc_write = look_write,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
};

static int __init look_init(void)
{
	int ret = suture_check_core();

	if (ret)
		return ret;
	return proc_create("look", 0600, NULL, &look_ops) ? 0 : -ENOMEM;
}

static void __exit look_exit(void)
{
	remove_proc_entry("look", NULL);
}

module_init(look_init);
module_exit(look_exit);
MODULE_DESCRIPTION("The core's look at tasks, for tests");
MODULE_LICENSE("GPL");
