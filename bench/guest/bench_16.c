// SPDX-License-Identifier: GPL-2.0-only
#define FUNCTIONS	FUNCTIONS_16
#include "patch.h"
