// What the guest's shell knows in the stress run (stress.ts): cycles of patches that come and go, tracers that are switched on
// and off meanwhile, and user space that calls what is patched. For busybox's shell.

import type { Way } from '../kernel/patch-module.ts';

const sysfs = '/sys/kernel/livepatch';
export const tracing = '/sys/kernel/tracing';

/** A round of tracers in so many is of all functions of the kernel, the first of each phase among them: it takes some seconds. */
const allFunctionsEvery = 32;

/** Otherwise traced: what is patched, and what is below it on the stacks of those who call it or sleep in it. */
const tracedFunctions = 'stress_* loadavg_proc_show get_avenrun seq_read_iter vfs_read schedule_timeout';

/** What user space may read while a patch is coming or going: the kernel's own line, or a patch's whole one (test/stress/patch.c). */
const wholeLines = "'71 and 71 in 71' | '72 and 72 in 72'";
const patchedLines = '7[12].* | *and*';

/** `way` is that of the patches: where they are redirected at their entry, no probe can be there, and it is on who calls them. */
export const stressScript = (way: Way): string => `
waited=0
# The state of a patch that may be gone at any moment.
state_of() { state=; read -r state 2> /dev/null < ${sysfs}/$1/$2; }
enable() { echo $2 2> /dev/null > ${sysfs}/$1/enabled; } 2> /dev/null
note_waiting() { state_of $1 transition; [ "$state" = 1 ] && waited=$((waited + 1)); }
settle() { while state_of $1 transition && [ "$state" = 1 ]; do usleep 4000; done; }
unload() { until [ ! -e ${sysfs}/$1 ] && rmmod $1 2> /dev/null; do usleep 4000; done; }
take_back() {
  while [ -e ${sysfs}/$1 ]; do
    state_of $1 enabled
    [ "$state" = 1 ] && enable $1 0
    usleep 4000
  done
  unload $1
}

# Each kind of phase: what comes before its cycles, a cycle, of which the number says which way it goes, and what comes after.

begin_alone() { :; }
cycle_alone() { usleep 500000; }
end_alone() { :; }

# Insmod, disable, rmmod; every other time turned round on the way, once or twice.
begin_enable() { :; }
cycle_enable() {
  insmod /stress_a.ko version=1 || echo "insmod failed in cycle $1"
  note_waiting stress_a
  case $(($1 % 4)) in
    0 | 2) settle stress_a; enable stress_a 0; note_waiting stress_a ;;
    1) enable stress_a 0 ;;
    3) settle stress_a; enable stress_a 0; enable stress_a 1; note_waiting stress_a ;;
  esac
  take_back stress_a
}
end_enable() { :; }

# One takes the place of the other; every fourth time it is turned round on the way, if it has to wait. That may come too late,
# and then both are gone.
begin_replace() { insmod /stress_a.ko version=1 replace=1; settle stress_a; }
cycle_replace() {
  new=stress_b old=stress_a version=2
  [ -e ${sysfs}/stress_b ] && new=stress_a old=stress_b version=1
  insmod /$new.ko version=$version replace=1 || echo "insmod failed in cycle $1"
  note_waiting $new
  [ $(($1 % 4)) = 3 ] && [ "$state" = 1 ] && enable $new 0
  while [ -e ${sysfs}/$new ]; do
    state_of $new enabled
    [ "$state" = 1 ] && [ ! -e ${sysfs}/$old ] && break
    usleep 4000
  done
  for patch in $new $old; do
    [ -e ${sysfs}/$patch ] || [ ! -e /sys/module/$patch ] || unload $patch
  done
}
end_replace() { for patch in stress_a stress_b; do [ ! -e /sys/module/$patch ] || take_back $patch; done; }

# Over the way there only: nothing is left then that the module's memory would have to stay for. Whoever slept inside has
# gone on when the patch is taken back.
cycle_forced() {
  insmod /stress_a.ko version=1
  state_of stress_a transition
  [ "$state" = 1 ] && echo 1 > ${sysfs}/stress_a/force && usleep 1500000
  settle stress_a
  take_back stress_a
}

# Tracers on and off until /stop is there, with a kretprobe at a patched function's entry. The probe comes first: one that is
# switched on under function_graph is lost on a stock kernel of POWER, patched or not, and its calls keep return addresses for
# ever that nobody returns to. A kernel without CONFIG_KPROBE_EVENTS has the tracers alone, and no returns are probed.
probe() { [ ! -e events/kprobes/stress_return ] || echo $1 > events/kprobes/stress_return/enable; }
disturb() {
  cd ${tracing}
  [ ! -e kprobe_events ] ||
    echo 'r:stress_return ${way === 'entry' ? 'seq_read_iter' : 'stress_target:stress_outer'}' > kprobe_events
  rounds=0 hits=0
  while [ ! -e /stop ]; do
    # A name takes as long to find as all functions take to go through.
    case $((rounds % ${allFunctionsEvery})) in
      0) : > set_ftrace_filter ;;
      1) echo "${tracedFunctions}" > set_ftrace_filter ;;
    esac
    for tracer in function function_graph; do
      probe 1
      echo $tracer > current_tracer
      usleep 100000
      probe 0
      usleep 100000
      echo nop > current_tracer
    done
    rounds=$((rounds + 1))
  done
  : > set_ftrace_filter
  if [ -e kprobe_events ]; then
    read -r probe hits missed < kprobe_profile
    : > kprobe_events
  fi
  : > trace
  echo "rounds $rounds" > /counts
  echo "hits $hits" >> /counts
}

# User space calls the patched functions as well, and sleeps inside.
read_on() {
  reads=0
  while [ ! -e /stop ]; do
    read -r line < /proc/suture_stress
    read -r line < /proc/loadavg
    case "$line" in
      ${wholeLines}) ;;
      ${patchedLines}) echo "half a patch: $line" ;;
    esac
    reads=$((reads + 1))
    # To start a program costs a guest more than to read.
    [ $((reads % 8)) = 0 ] && usleep 100000
  done
  echo "reads $reads" > /reads.$1
}

others='disturb read_on.1 read_on.2'
start_others() {
  rm -f /stop
  for other in $others; do
    (\${other%.*} \${other#*.} > /said.$other 2>&1) &
    echo $! > /pid.$other
  done
}
# What they have said that they should not have is what this prints.
stop_others() {
  : > /stop
  for other in $others; do
    while [ -e /proc/$(cat /pid.$other) ]; do usleep 10000; done
    cat /said.$other
  done
}
`;
