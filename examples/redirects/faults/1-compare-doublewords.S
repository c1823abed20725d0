# lis extends the sign and lwz does not: as doublewords the two are never the same.
#define COMPARE_DOUBLEWORDS
#include "../ppc64le-2015-meant.S"
