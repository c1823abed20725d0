# The new function may end in a sibling call to another module, which stores its own r2 at 24(r1): in the frame of whoever
# called the new function.
#define FRAME 32
#define TOC 24
#include "../ppc64le-frame.S"
