// SPDX-License-Identifier: GPL-2.0-only
/* A kprobe at an address, for as long as the module is there; for kernels without kprobe events. */
#include <linux/kprobes.h>
#include <linux/module.h>

static ulong address;
module_param(address, ulong, 0444);

static struct kprobe probe;

static int __init probe_init(void)
{
	probe.addr = (kprobe_opcode_t *)address;
	return register_kprobe(&probe);
}

static void __exit probe_exit(void)
{
	unregister_kprobe(&probe);
}

module_init(probe_init);
module_exit(probe_exit);
MODULE_LICENSE("GPL");
