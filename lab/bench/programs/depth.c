/* The same rounds, done by a function that BENCH_DEPTH calls lead to. */
#include "mix.h"

static NOINLINE u64 work(u64 value)
{
	for (u64 rounds = unwindlab_rounds; rounds; rounds--)
		value = bench_calls(value);
	return value;
}

static NOINLINE u64 descend(u64 depth, u64 value)
{
	value = depth ? descend(depth - 1, value + depth) : work(value);
	BARRIER();
	return value ^ depth;
}

u64 lab_main(u64 large)
{
	return descend(BENCH_DEPTH - 3, large + 1);
}
