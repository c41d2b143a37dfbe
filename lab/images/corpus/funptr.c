/*
 * title: Calls through function pointers
 * rows: 12 13 25
 * expect: small 0xcfa21f4a7116edc2 large 0x5b0cc1e3c8cbc3e3
 *
 * A table of operations, a comparison passed down through a recursive sort, and a callback that calls back.
 */
#include "rt.h"

typedef u64 operation(u64 a, u64 b);
typedef int comparison(const u32 *a, const u32 *b);

NOINLINE static u64 add(u64 a, u64 b)
{
	return a + b;
}

NOINLINE static u64 multiply(u64 a, u64 b)
{
	return a * b;
}

NOINLINE static u64 swap_halves(u64 a, u64 b)
{
	return (a << 32 | a >> 32) ^ b;
}

static operation *volatile operations[] = { add, multiply, swap_halves };

NOINLINE static int ascending(const u32 *a, const u32 *b)
{
	return *a < *b ? -1 : *a > *b;
}

NOINLINE static int descending(const u32 *a, const u32 *b)
{
	return ascending(b, a);
}

static comparison *volatile comparisons[] = { ascending, descending };

NOINLINE void sort(u32 *items, s64 low, s64 high, comparison *compare)
{
	if (low >= high)
		return;
	u32 pivot = items[(low + high) / 2];
	s64 i = low, j = high;
	while (i <= j) {
		while (compare(&items[i], &pivot) < 0)
			i++;
		while (compare(&items[j], &pivot) > 0)
			j--;
		if (i <= j) {
			u32 item = items[i];
			items[i++] = items[j];
			items[j--] = item;
		}
	}
	sort(items, low, j, compare);
	sort(items, i, high, compare);
}

/* The same operations without a pointer. */
static u64 plainly(u64 count)
{
	u64 value = 0;

	for (u64 i = 0; i < count; i++)
		value = i % 3 == 0 ? add(value, i + 1) : i % 3 == 1 ? multiply(value, i + 1) : swap_halves(value, i + 1);
	return value;
}

static u32 items[2048];

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, state = 1, value = 0;
	s64 count = large ? 2048 : 20;

	for (u64 i = 0; i < (large ? 20000 : 30); i++)
		value = operations[i % 3](value, i + 1);
	lab_check(value == plainly(large ? 20000 : 30), "the operations, called directly");
	digest = lab_mix(digest, value);
	for (u64 order = 0; order < 2; order++) {
		for (s64 i = 0; i < count; i++)
			items[i] = (u32)lab_next(&state);
		sort(items, 0, count - 1, comparisons[order]);
		for (s64 i = 1; i < count; i++)
			lab_check(order ? items[i - 1] >= items[i] : items[i - 1] <= items[i], "sorted");
		digest = lab_mix(digest, items[0] + ((u64)items[count / 2] << 32));
	}
	return digest;
}
