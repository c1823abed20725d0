# A stub of our own: the smallest frame there is, with a doubleword for the caller's TOC pointer where nobody else stores
# anything. It serves every function that has all its arguments in registers and does not store them at 32(r1) to 88(r1) of
# its caller's frame, for which there is no room; and some more, where arguments are copied.
#
# The files in faults/ include this one with something else in its place.

#ifndef FRAME
#define FRAME	48		/* a header of 32 bytes, and 16 of our own */
#define TOC	40		/* where r2 is kept: behind the header, in which a sibling call stores its own at 24 */
#endif
#ifndef TARGET
#define TARGET	12		/* a function's global entry relies on its address there */
#endif
#ifndef SCRATCH
#define SCRATCH	0
#endif
#ifndef STACK_ARGUMENTS
#define STACK_ARGUMENTS	0
#endif

	.set	stack_arguments, STACK_ARGUMENTS
	.set	parameter_area, STACK_ARGUMENTS

	.globl	redirect
redirect:
	mflr	0
	std	0, 16(1)
	stdu	1, -FRAME(1)
	std	2, TOC(1)
#ifdef COPY
	ld	0, FRAME + 96(1)	# the first argument on the stack
	std	0, 96(1)
#endif
	bcl	20, 31, 1f
1:	mflr	TARGET
	addis	TARGET, TARGET, (new_function - 1b)@ha
	addi	TARGET, TARGET, (new_function - 1b)@l
#if TARGET != 12
	mr	12, TARGET
#endif
	mtctr	TARGET
	bctrl
	ld	2, TOC(1)
	addi	1, 1, FRAME
	ld	SCRATCH, 16(1)
	mtlr	SCRATCH
	blr
