// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests alone, and in no core that is shipped: make SUTURE_TEST=y.
 *
 * A number N in /sys/module/suture/parameters/fail_allocation has the N-th thing that
 * the core needs memory for, and all after it, fail as if there were none. It counts
 * down to 1; 0 ends that.
 *
 * A 1 in hold_checked has entries wait between their check and the stop, and becomes 2 when
 * they do; 0 lets them go on. Then the word in meddle is written over the first one.
 */
#include <linux/delay.h>
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

static unsigned int hold_checked;
module_param(hold_checked, uint, 0644);
MODULE_PARM_DESC(hold_checked, "1: wait before entries are written; 2: it does");

static unsigned int meddle;
module_param(meddle, uint, 0644);
MODULE_PARM_DESC(meddle, "what somebody writes at an entry that has been checked, once");

/* What meddle has been written over, and whether it has. */
static u32 before_meddle;
static bool has_meddled;

/* With suture_mutex held. */
void suture_test_checked(u32 *alias)
{
	if (READ_ONCE(hold_checked))
		WRITE_ONCE(hold_checked, 2);
	while (READ_ONCE(hold_checked))
		msleep(1);
	has_meddled = meddle;
	if (!has_meddled)
		return;
	before_meddle = READ_ONCE(*alias);
	WRITE_ONCE(*alias, meddle);
}

/* Tasks have not switched: it is for the next time. With suture_mutex held. */
void suture_test_finished(u32 *alias, bool written)
{
	if (!has_meddled)
		return;
	if (written)
		meddle = 0;
	else
		WRITE_ONCE(*alias, before_meddle);
	has_meddled = false;
}
