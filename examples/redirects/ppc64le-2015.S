# The hook of "RFC: Kernel Live Patching for ppc64le (ABIv2)" (linuxppc-dev, 27 July 2015). The posting shows what it adds to
# the hook and the helper; the rest of the hook is written here in their spirit.
#
# A call inside one module does not save the TOC pointer, and a live patch makes it a call into another module. The hook
# looks at the word behind the caller's call. If it is `ld r2,24(r1)`, the caller restores its TOC pointer itself.
# If not, the hook opens a frame of 32 bytes whose return address is a helper that restores it.
#
# ppc64le-2015-posted.S is this with all that is defined there, as the posting has it; ppc64le-2015-meant.S with nothing.

	.set	LRSAVE, 16
	.set	TOCSAVE, 24
	# struct pt_regs behind a frame's header and parameter save area.
	.set	REGS, 112
	.set	NIP, REGS + 256
	.set	CTR, REGS + 280
	.set	LINK, REGS + 288
	.set	SWITCH_FRAME_SIZE, 112 + 352

	.globl	ftrace_regs_caller, call_site

	# gcc's -mprofile-kernel of that time: the return address is stored before the call.
call_site:
	addis	2, 12, 0
	addi	2, 2, 0
	mflr	0
#ifndef SITE_WITHOUT_LR
	std	0, LRSAVE(1)
#endif
	bl	ftrace_regs_caller

ftrace_regs_caller:
	mflr	0
	bcl	20, 31, 1f
1:	mflr	12
	mtlr	0
	mr	0, 2
	addis	2, 12, (.TOC. - 1b)@ha
	addi	2, 2, (.TOC. - 1b)@l
	# Here we have our proper TOC pointer in r2, and the one we need to restore on return in r0.
	ld	12, LRSAVE(1)		# the caller's address

	# Is there a TOC restore instruction?
	std	11, -8(1)
	std	12, -16(1)
	lwz	12, 0(12)
	lis	11, 0xe841 - 0x10000
#ifdef LI_AFTER_LIS
	li	11, TOCSAVE
#else
	ori	11, 11, TOCSAVE
#endif
#ifdef COMPARE_DOUBLEWORDS
	cmpd	12, 11
#else
	cmplw	12, 11
#endif
	ld	11, -8(1)
	ld	12, -16(1)
	beq	4f

	# A local call: the callee's TOC is the caller's.
	std	0, TOCSAVE(1)
	stdu	1, -32(1)		# open a new mini stack frame
	lis	11, KLP_return_helper@highest
	ori	11, 11, KLP_return_helper@higher
	sldi	11, 11, 32
	oris	11, 11, KLP_return_helper@high
	ori	11, 11, KLP_return_helper@l
	std	11, LRSAVE(1)
	ld	11, 24(1)		# again from -8(r1 + 32)

4:	stdu	1, -SWITCH_FRAME_SIZE(1)
	std	12, LINK(1)
	std	0, REGS + 8 * 2(1)
	.irp	n, 3, 4, 5, 6, 7, 8, 9, 10, 11
	std	\n, REGS + 8 * \n(1)
	.endr
	addi	11, 1, SWITCH_FRAME_SIZE
	std	11, REGS + 8 * 1(1)
	.irp	n, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	std	\n, REGS + 8 * \n(1)
	.endr
	mflr	3
	std	3, NIP(1)
	subi	3, 3, 4			# the call site
	mr	4, 12			# the caller
	addis	5, 2, function_trace_op@toc@ha
	ld	5, function_trace_op@toc@l(5)	# the ftrace_ops
	addi	6, 1, REGS
	bl	ftrace_handler
	nop

	ld	12, NIP(1)
	mtctr	12
#ifdef LINK_IN_LR
	ld	0, LINK(1)
#endif
	ld	2, REGS + 8 * 2(1)
	.irp	n, 3, 4, 5, 6, 7, 8, 9, 10, 11
	ld	\n, REGS + 8 * \n(1)
	.endr
	.irp	n, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	ld	\n, REGS + 8 * \n(1)
	.endr
	addi	1, 1, SWITCH_FRAME_SIZE
#ifndef LINK_IN_LR
	ld	0, LRSAVE(1)		# the helper, where there is the mini frame
#endif
	mtlr	0
	bctr

KLP_return_helper:
#ifdef LR_BEFORE_FRAME
	ld	0, LRSAVE(1)		# get the real return address
	addi	1, 1, 32		# destroy this stack frame
#else
	addi	1, 1, 32
	ld	0, LRSAVE(1)
#endif
	ld	2, TOCSAVE(1)		# restore TOC
	mtlr	0
	blr
