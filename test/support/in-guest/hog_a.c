// SPDX-License-Identifier: GPL-2.0-only
/*
 * A module that takes room: tests give it another name and make `room` as large as they
 * want in its file.
 */
#include <linux/module.h>

static char room[4096];
module_param_string(room, room, sizeof(room), 0444);

MODULE_LICENSE("GPL");
