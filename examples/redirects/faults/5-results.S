# A result of two doublewords comes in r3 and r4.
#define SCRATCH 4
#include "../ppc64le-frame.S"
