/*
 * title: The additive-feedback random generator
 * rows: 12 19 29
 * musl: prng/random.c
 * expect: small 0x22c9d79f980b350f large 0x76374ce4d464e9ba
 *
 * musl's random with its state switched back and forth.  An 8-byte state is the generator of the C standard's example,
 * whose first values are known.
 */
#define _XOPEN_SOURCE 700
#include <stdlib.h>

#include "rt.h"

u64 lab_main(u64 large)
{
	static const long known[] = { 1103527590, 377401575, 662824084 };
	static u32 small_state[2], big_state[64];
	u64 digest = LAB_SEED, draws = large ? 30000 : 30;

	char *first = initstate(1, (char *)small_state, sizeof small_state);
	for (u64 i = 0; i < COUNT(known); i++)
		lab_check(random() == known[i], "the C standard's example generator");
	lab_check(initstate(42, (char *)big_state, large ? 256 : 32) == (char *)small_state, "the state before");
	for (u64 i = 0; i < draws; i++)
		digest = lab_mix(digest, (u64)random());
	setstate((char *)small_state);
	lab_check(random() == (662824084l * 1103515245 + 12345 & 0x7fffffff), "the small state goes on where it was");
	setstate(first);
	return lab_mix(digest, (u64)random());
}
