/*
 * title: Prologues that come late
 * rows: 12 15 16
 * expect: small 0x8b5a65c1a949e9b2 large 0xb44ad2e3d5997dad
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
NOINLINE u64 sum_or_nothing(const u64 *values, u64 count)
{
	if (!values)
		return 1;
	u64 sum = slow(count);
	for (u64 i = 0; i < count; i++)
		sum += slow(values[i]);
	return sum;
}

/* A loop without a frame first, the frame afterwards. */
NOINLINE u64 find_or_ask(const u64 *values, u64 count, u64 wanted)
{
	for (u64 i = 0; i < count; i++)
		if (values[i] == wanted)
			return i;
	return slow(wanted) + slow(count);
}

/* Two quick ways out, then a frame with callee-saved registers. */
NOINLINE u64 guarded(u64 a, u64 b, u64 c)
{
	if (a > b)
		return a - b;
	if (c == 0)
		return b;
	return slow(a) + slow(b) * slow(c) - a * b * c;
}

static const u64 values[] = { 3, 1, 4, 1, 5, 9, 2, 6 };

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 10000 : 8;

	for (u64 round = 0; round < rounds; round++) {
		u64 rare = round % 4 == 0, found;
		digest = digest * 31 + sum_or_nothing(rare ? values : 0, COUNT(values));
		found = find_or_ask(values, COUNT(values), round % 10);
		lab_check(found == 5 || round % 10 != 9, "9 is the fifth value");
		digest = digest * 31 + found;
		digest = digest * 31 + guarded(rare ? 1 : 9, 5, round & 1);
	}
	/* Per ten rounds and four: (1 + 8) calls on each rare round, 2 on each round asking for 0, 7 or 8. */
	u64 asked = 0, summed = 0;
	for (u64 round = 0; round < rounds; round++) {
		asked += round % 10 == 0 || round % 10 == 7 || round % 10 == 8 ? 2 : 0;
		summed += round % 4 == 0 ? 9 : 0;
	}
	lab_check(slow_calls == asked + summed, "calls of the slow path");
	return digest;
}
