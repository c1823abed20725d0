#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Run beside mainline's livepatch selftests, in the place of its test-ftrace.sh: a patch that redirects functions at their
# entries has nothing to do with ftrace. With ftrace switched off it loads; and ftrace can be switched off under it.

. $(dirname $0)/functions.sh

PATCH=test_klp_livepatch
PATCHED="$PATCH: this has been live patched"

is_patched() {
	[[ "$(cat /proc/cmdline)" == "$PATCHED" ]] || die "/proc/cmdline is not patched"
}

setup_config

start_test "patching at the entry while ftrace is off"

set_ftrace_enabled 0
load_lp $PATCH
is_patched
set_ftrace_enabled 1
is_patched
set_ftrace_enabled 0
is_patched
disable_lp $PATCH
unload_lp $PATCH
set_ftrace_enabled 1

check_result "livepatch: kernel.ftrace_enabled = 0
% modprobe $PATCH
livepatch: enabling patch '$PATCH'
livepatch: '$PATCH': initializing patching transition
livepatch: '$PATCH': starting patching transition
livepatch: '$PATCH': completing patching transition
livepatch: '$PATCH': patching complete
livepatch: kernel.ftrace_enabled = 1
livepatch: kernel.ftrace_enabled = 0
% echo 0 > /sys/kernel/livepatch/$PATCH/enabled
livepatch: '$PATCH': initializing unpatching transition
livepatch: '$PATCH': starting unpatching transition
livepatch: '$PATCH': completing unpatching transition
livepatch: '$PATCH': unpatching complete
% rmmod $PATCH
livepatch: kernel.ftrace_enabled = 1"

exit 0
