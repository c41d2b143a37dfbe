/* Call-heavy in the usual sense: Fibonacci by recursion, a call in a dozen instructions, a return for each. */
#include "bench.h"

static NOINLINE u64 fibonacci(u64 n)
{
	u64 before;

	if (n < 2)
		return n;
	before = fibonacci(n - 1);
	BARRIER();
	return before + fibonacci(n - 2);
}

u64 lab_main(u64 large)
{
	u64 value = large;

	for (u64 rounds = unwindlab_rounds; rounds; rounds--)
		value += fibonacci(10);
	return value;
}
