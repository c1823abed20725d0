# As meant: for functions that have all their arguments in registers, do not store them in their caller's frame (where the
# mini frame ends, the return address would be hit), and end in no sibling call to another module. The
# hook takes no notice of handlers that change the return address; in 2015 there were none.
	.set	stack_arguments, 0
	.set	parameter_area, 0
	.set	sibling_calls, 0
	.set	traces_returns, 0
#include "ppc64le-2015.S"
