# A call site of today stores nothing at 16(r1): the hook looks for the caller behind whatever lies there.
#define SITE_WITHOUT_LR
#include "../ppc64le-2015-meant.S"
