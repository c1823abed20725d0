// SPDX-License-Identifier: GPL-2.0-only
#define FUNCTIONS	FUNCTIONS_256
#include "patch.h"
