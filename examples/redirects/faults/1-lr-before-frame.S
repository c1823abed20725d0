# The helper reads the return address in its own frame, where the new function has put its own.
#define LR_BEFORE_FRAME
#include "../ppc64le-2015-meant.S"
