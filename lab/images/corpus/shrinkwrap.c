/*
 * title: Prologues that come late
 * rows: 12 15 16
 * fails: fp boundary at find_or_ask; fp boundary at first_and_last
 * survives: dwarf boundary; orc boundary on x86_64; hw-shadow boundary
 * expect: small 0xf6d1dc0022fdc69a large 0xffee08dabc08c007
 *
 * The common path of each function needs no frame and returns before the prologue; the rare path makes its frame
 * in the middle of the function.
 */
#include "rt.h"

static u64 slow_calls;

NOINLINE u64 slow(u64 x)
{
	slow_calls++;
	OPAQUE(x);
	return x * 0x9e3779b97f4a7c15ul >> 7;
}

/* A null test first, the frame afterwards. */
NOINLINE u64 first_and_last(const u64 *values, u64 count)
{
	if (!values)
		return 1;
	return slow(values[0]) + slow(values[count - 1]) * 3;
}

/* A search without a frame first, the frame afterwards. */
NOINLINE u64 find_or_ask(const u64 *values, u64 wanted)
{
	u64 i = 0;

	for (; values[i] != wanted; i++)
		if (i == 7)
			return slow(wanted + 1) + slow(wanted);
	return i;
}

/* Two quick ways out, then a frame (clang 22 does so on x86-64 only: on AArch64 the prologue is hoisted). */
NOINLINE u64 guarded(u64 a, u64 b, u64 c)
{
	if (a > b)
		return a - b;
	if (c == 0)
		return b;
	return slow(a) ^ slow(b) ^ slow(c);
}

static const u64 values[] = { 3, 1, 4, 1, 5, 9, 2, 6 };

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 10000 : 8;

	for (u64 round = 0; round < rounds; round++) {
		u64 rare = round % 4 == 0, found;
		digest = digest * 31 + first_and_last(rare ? values : 0, COUNT(values));
		found = find_or_ask(values, round % 10);
		lab_check(found == 5 || round % 10 != 9, "9 is the fifth value");
		digest = digest * 31 + found;
		digest = digest * 31 + guarded(rare ? 1 : 9, 5, round >> 2 & 1);
	}
	/* Two for the ends, two for each of 0, 7 and 8, which are not among the values, three for guarded numbers. */
	u64 expected = 0;
	for (u64 round = 0; round < rounds; round++) {
		u64 rare = round % 4 == 0, asked = round % 10;
		expected += rare * 2 + (asked == 0 || asked == 7 || asked == 8 ? 2 : 0) + (rare && round >> 2 & 1 ? 3 : 0);
	}
	lab_check(slow_calls == expected, "calls of the slow path");
	return digest;
}
