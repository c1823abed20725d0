@ A design of our own: the call stands first in the function, before the prologue. Then nothing is to be undone, one hook
@ serves every function, and the new function is entered from it without a stub.

	.syntax unified
	.arm

	@ Offsets in struct pt_regs, r0 at 0.
	.equ	S_LR, 56
	.equ	S_PC, 60
	.equ	S_SIZE, 72

	.globl	ftrace_regs_caller
	.globl	call_site
call_site:
	push	{lr}
	bl	ftrace_regs_caller

ftrace_regs_caller:
	sub	sp, sp, #S_SIZE
	stm	sp, {r0-r12}
	str	lr, [sp, #S_PC]
	add	r0, sp, #(S_SIZE + 4)
	ldr	r1, [sp, #S_SIZE]	@ what the call site pushed
	str	r0, [sp, #52]		@ sp
	str	r1, [sp, #S_LR]

	sub	r0, lr, #4		@ the call site
	mov	r2, #0			@ no ftrace_ops
	mov	r3, sp			@ struct pt_regs
	bl	ftrace_handler

	ldr	r1, [sp, #S_PC]
	str	r1, [sp, #S_SIZE]	@ where to go on, over what the call site pushed
	ldr	lr, [sp, #S_LR]
	ldm	sp, {r0-r12}
	add	sp, sp, #S_SIZE
	ldr	pc, [sp], #4
