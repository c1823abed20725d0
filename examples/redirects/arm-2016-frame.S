@ The hook of arm-2016.S for every frame that a kernel with frame pointers (UNWINDER_FRAME_POINTER) makes. That one takes the
@ frame to lie right below the caller's stack pointer, which is in ip. Of a function that takes any number of arguments, or a
@ structure that begins in registers and goes on on the stack, it does not: the arguments in registers are pushed first.
@
@     mov   ip, sp
@     push  {r1, r2, r3}
@     push  {fp, ip, lr, pc}
@     sub   fp, ip, #16
@     push  {lr}
@     bl    __gnu_mcount_nc
@
@ fp leads to the frame of either kind: the pc is at fp, below it lr, the caller's sp and its fp. So the hook goes by fp, and
@ takes the stack pointer from where the frame keeps it.

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
	ldr	lr, [sp]		@ the new pc
	str	lr, [r11]		@ over the pc that the prologue has pushed
	sub	sp, r11, #12		@ where it has pushed fp
	ldmia	sp, {r11, sp, lr, pc}

1:	ldmia	sp!, {r0-r12}
	ldr	lr, [sp, #4]
	add	sp, sp, #8		@ over sp and lr
	ldr	pc, [sp], #12		@ and over PSR and what the call site pushed
