@ The hook of "[PATCH 0/7] arm: Add livepatch support" (linux-arm-kernel, 6 December 2016), written after its text: the
@ posting shows the prologue that it is for and tells what the hook does, not its code.
@
@ It finds the old function's registers through the frame pointer's prologue, where ip is the caller's stack pointer and
@ fp, ip, lr and pc have been pushed right below it:
@
@     mov   ip, sp
@     push  {r4-r9, sl, fp, ip, lr, pc}
@     sub   fp, ip, #4
@     sub   sp, sp, #100
@     push  {lr}
@     bl    __gnu_mcount_nc
@
@ There is no stub: the handler saves the new function's address where the pc is saved, and the hook goes there.

	.syntax unified
	.arm

	@ Offsets in struct pt_regs, r0 at 0.
	.equ	S_LR, 56
	.equ	S_PC, 60

	.globl	ftrace_regs_caller
ftrace_regs_caller:
	sub	sp, sp, #4		@ a place for PSR; that of OLD_R0 has been pushed by the call site
	str	lr, [sp, #-4]!		@ pc: behind the call site
	ldr	lr, [sp, #8]		@ what the call site pushed
	str	lr, [sp, #-4]!		@ lr
	add	lr, sp, #16
	str	lr, [sp, #-4]!		@ sp, as it was before that push
	stmdb	sp!, {r0-r12}

	mov	r3, sp			@ struct pt_regs
	ldr	r10, [sp, #S_PC]	@ the old pc is kept for later
	movw	r2, #:lower16:function_trace_op
	movt	r2, #:upper16:function_trace_op
	ldr	r2, [r2]		@ the ftrace_ops
	ldr	r1, [sp, #S_LR]		@ the caller
	sub	r0, r10, #4		@ the call site
	bl	ftrace_handler

	ldr	r0, [sp, #S_PC]
	cmp	r0, r10
	beq	1f			@ not redirected: the old function goes on

	ldmia	sp!, {r0-r12}
	add	sp, sp, #8		@ over sp and lr
	ldr	r11, [sp]		@ the new pc
	sub	sp, r12, #16		@ where the prologue has pushed fp
	str	r11, [sp, #12]		@ over the pc that it has pushed
	ldmia	sp!, {r11, r12, lr, pc}

1:	ldmia	sp!, {r0-r12}
	ldr	lr, [sp, #4]
	add	sp, sp, #8		@ over sp and lr
	ldr	pc, [sp], #12		@ and over PSR and what the call site pushed
