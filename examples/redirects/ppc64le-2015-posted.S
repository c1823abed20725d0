# As posted, on call sites of its time.
#define LI_AFTER_LIS
#define COMPARE_DOUBLEWORDS
#define LINK_IN_LR
#define LR_BEFORE_FRAME
#include "ppc64le-2015.S"
