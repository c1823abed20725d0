/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A thousand functions by number, 000 to 999, and the first so and so many of them.
 * FUNCTION(n) is what is written for each.
 */
#define TEN(n)		FUNCTION(n##0) FUNCTION(n##1) FUNCTION(n##2) FUNCTION(n##3) FUNCTION(n##4) \
			FUNCTION(n##5) FUNCTION(n##6) FUNCTION(n##7) FUNCTION(n##8) FUNCTION(n##9)
#define HUNDRED(n)	TEN(n##0) TEN(n##1) TEN(n##2) TEN(n##3) TEN(n##4) \
			TEN(n##5) TEN(n##6) TEN(n##7) TEN(n##8) TEN(n##9)

#define FUNCTIONS_1	FUNCTION(000)
#define FUNCTIONS_16	TEN(00) FUNCTION(010) FUNCTION(011) FUNCTION(012) FUNCTION(013) \
			FUNCTION(014) FUNCTION(015)
#define FUNCTIONS_256	HUNDRED(0) HUNDRED(1) TEN(20) TEN(21) TEN(22) TEN(23) TEN(24) \
			FUNCTION(250) FUNCTION(251) FUNCTION(252) FUNCTION(253) FUNCTION(254) FUNCTION(255)
#define FUNCTIONS_1000	HUNDRED(0) HUNDRED(1) HUNDRED(2) HUNDRED(3) HUNDRED(4) \
			HUNDRED(5) HUNDRED(6) HUNDRED(7) HUNDRED(8) HUNDRED(9)

/* To be patched, so neither inlined nor copied; found by name, so not renamed. */
#define called		__attribute__((__noipa__)) noinline
