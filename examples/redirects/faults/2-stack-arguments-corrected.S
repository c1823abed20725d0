# The argument is copied. The frame has room for it: header, eight doublewords for registers, the argument, r2.
#define STACK_ARGUMENTS 1
#define COPY
#define FRAME 112
#define TOC 104
#include "../ppc64le-frame.S"
