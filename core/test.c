// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests alone, and in no core that is shipped: make SUTURE_TEST=y.
 *
 * A number N in /sys/module/suture/parameters/fail_allocation has the N-th thing that
 * the core needs memory for, and all after it, fail as if there were none. It counts
 * down to 1; 0 ends that.
 */
#include <linux/module.h>

#include "suture.h"

static unsigned int fail_allocation;
module_param(fail_allocation, uint, 0644);
MODULE_PARM_DESC(fail_allocation, "from which allocation on all are to fail");

/* With suture_mutex held. */
bool suture_out_of_memory(void)
{
	if (fail_allocation > 1) {
		fail_allocation--;
		return false;
	}
	return fail_allocation;
}
