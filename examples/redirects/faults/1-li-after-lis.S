# li writes the whole register: the upper half that lis has made is gone, and the comparison never holds.
#define LI_AFTER_LIS
#include "../ppc64le-2015-meant.S"
