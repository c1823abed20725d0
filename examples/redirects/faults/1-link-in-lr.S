# The helper’s address is stored in the new frame, but LR gets the return address that was found.
#define LINK_IN_LR
#include "../ppc64le-2015-meant.S"
