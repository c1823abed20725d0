@ A design of our own: the call stands first in the function, before the prologue. Then nothing is to be undone, one hook
@ serves every function, and the new function is entered from it without a stub.

	.syntax unified
	.arm

	@ Offsets in struct pt_regs, r0 at 0.
	.equ	S_SP, 52
	.equ	S_LR, 56
	.equ	S_PC, 60
	.equ	S_LAST, 68		@ its last word is what the call site pushed: so the stack is a multiple of 8
	.equ	S_SIZE, 72

	.globl	ftrace_regs_caller
	.globl	call_site
call_site:
	push	{lr}
	bl	ftrace_regs_caller

ftrace_regs_caller:
	sub	sp, sp, #S_LAST
	stm	sp, {r0-r12}
	str	lr, [sp, #S_PC]
	add	r0, sp, #S_SIZE
	ldr	r1, [sp, #S_LAST]	@ the caller
	str	r0, [sp, #S_SP]
	str	r1, [sp, #S_LR]

	sub	r0, lr, #4		@ the call site
	movw	r2, #:lower16:function_trace_op
	movt	r2, #:upper16:function_trace_op
	ldr	r2, [r2]		@ the ftrace_ops
	mov	r3, sp			@ struct pt_regs
	bl	ftrace_handler

	ldr	r1, [sp, #S_PC]
	str	r1, [sp, #S_LAST]	@ where to go on, over what the call site pushed
	ldr	lr, [sp, #S_LR]
	ldm	sp, {r0-r12}
	add	sp, sp, #S_LAST
	ldr	pc, [sp], #4
