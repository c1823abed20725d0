// SPDX-License-Identifier: GPL-2.0-only
/*
 * A static function that only its own file calls, with arguments on the stack
 * on ARM: /proc/PID/maps keeps its addresses to itself.
 */
#include <linux/mm.h>
#include <linux/kdev_t.h>
#include <linux/seq_file.h>

static void show_vma_header_prefix(struct seq_file *m, unsigned long start,
				   unsigned long end, vm_flags_t flags,
				   unsigned long long offset, dev_t device,
				   unsigned long inode)
{
	seq_setwidth(m, 25 + sizeof(void *) * 6 - 1);
	seq_printf(m, "%08x-%08x %c%c%c%c %08llx %02x:%02x %lu ", 0, 0,
		   flags & VM_READ ? 'r' : '-', flags & VM_WRITE ? 'w' : '-',
		   flags & VM_EXEC ? 'x' : '-', flags & VM_MAYSHARE ? 's' : 'p',
		   offset, MAJOR(device), MINOR(device), inode);
}
