// SPDX-License-Identifier: GPL-2.0-only
#define FUNCTIONS	FUNCTIONS_1000
#include "patch.h"
