/* Many small functions, with and without frames, a few levels deep. */
#include "mix.h"

u64 lab_main(u64 large)
{
	u64 value = large + 1;

	for (u64 rounds = unwindlab_rounds; rounds; rounds--)
		value = bench_calls(value);
	return value;
}
