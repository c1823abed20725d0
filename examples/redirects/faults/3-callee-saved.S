# r15 is the caller’s.
#define TARGET 15
#include "../ppc64le-frame.S"
