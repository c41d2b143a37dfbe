/* A tight loop over a small table: stores and loads, one call in some 1,500 instructions. */
#include "bench.h"

static u64 table[64];

static NOINLINE u64 pass(u64 value)
{
	for (u64 i = 0; i < 256; i++) {
		value = value * 6364136223846793005ul + 1442695040888963407ul;
		table[i & 63] = value;
	}
	return value ^ table[7];
}

u64 lab_main(u64 large)
{
	u64 value = large + 1;

	for (u64 rounds = unwindlab_rounds; rounds; rounds--)
		value = pass(value);
	return value;
}
