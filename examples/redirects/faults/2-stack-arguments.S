# The frame moves the stack arguments away from where the new function looks for them.
#define STACK_ARGUMENTS 1
#include "../ppc64le-frame.S"
