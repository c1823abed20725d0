# The stack pointer is a multiple of 16.
#define FRAME 40
#define TOC 32
#include "../ppc64le-frame.S"
