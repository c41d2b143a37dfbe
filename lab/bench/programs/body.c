/*
 * One call after another of a function whose body is empty (BENCH_BODY 0), small (1) or large (2): what a call costs
 * beside what the callee does.  The middle one and the leaf below it are both called once each time.
 */
#include "bench.h"

static NOINLINE u64 leaf(u64 value)
{
#if BENCH_BODY == 1
	value = (value ^ value >> 29) * 0xbf58476d1ce4e5b9ul;
	value ^= value >> 32;
#elif BENCH_BODY == 2
	for (int i = 0; i < 24; i++) {
		value = (value ^ value >> 29) * 0xbf58476d1ce4e5b9ul;
		value += (value << 13) ^ (u64)i;
	}
#endif
	BARRIER();
	return value;
}

static NOINLINE u64 middle(u64 value)
{
	value = leaf(value);
	BARRIER();
	return value;
}

u64 lab_main(u64 large)
{
	u64 value = large + 1;

	for (u64 rounds = unwindlab_rounds; rounds; rounds--)
		for (int i = 0; i < 32; i++)
			value = middle(value + rounds);
	return value;
}
