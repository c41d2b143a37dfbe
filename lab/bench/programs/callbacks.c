/* Call-heavy through a pointer: an insertion sort that asks a callback to compare. */
#include "bench.h"

typedef long compare(const u64 *, const u64 *);

static u64 numbers[24];

static NOINLINE long ascending(const u64 *a, const u64 *b)
{
	return *a < *b ? -1 : *a > *b;
}

static NOINLINE void sort(u64 *first, long count, compare *order)
{
	for (long i = 1; i < count; i++)
		for (long j = i; j && order(&first[j - 1], &first[j]) > 0; j--) {
			u64 larger = first[j - 1];

			first[j - 1] = first[j];
			first[j] = larger;
		}
}

u64 lab_main(u64 large)
{
	u64 sum = large;

	for (u64 rounds = unwindlab_rounds; rounds; rounds--) {
		for (int i = 0; i < 24; i++)
			numbers[i] = (u64)(i * 7 % 24);
		sort(numbers, 24, ascending);
		sum = sum * 31 + numbers[5];
	}
	return sum;
}
