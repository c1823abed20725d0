// Functions of the kernel that do not return: those that Linux 6.1 declares `__noreturn` (in include/, kernel/, lib/ and mm/) and that
// its code outside of start-up calls, and the compiler's own `__stack_chk_fail`. Behind a call of one a compiler leaves nothing,
// so a function may end there.

const names: ReadonlySet<string> = new Set([
  ...['__stack_chk_fail', 'abort', 'panic', 'fortify_panic', 'usercopy_abort', '__invalid_creds'],
  ...['do_exit', 'do_group_exit', 'do_task_dead', 'make_task_dead'],
  ...['kthread_exit', 'kthread_complete_and_exit', '__module_put_and_kthread_exit', 'kunit_try_catch_throw'],
  ...['cpu_startup_entry', 'stop_this_cpu'],
]);

/** Whether a function of the kernel of this name is known not to return. */
export const neverReturns = (name: string): boolean => names.has(name);
