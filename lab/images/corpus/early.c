/*
 * title: Early returns: the epilogue in the middle
 * rows: 12 16
 * expect: small 0x1e161b8ec5a1734a large 0x80f67cfe0ca65529
 *
 * Functions that have a frame on every path and return from the middle of their code, so that an epilogue is
 * followed by code that still has the frame.
 */
#include "rt.h"

static u64 outside_calls;

static inline u64 scrambled(u64 x)
{
	return (x ^ x >> 31) * 0x94d049bb133111ebul;
}

NOINLINE u64 outside(u64 x)
{
	outside_calls++;
	OPAQUE(x);
	return scrambled(x);
}

NOINLINE u64 middle(u64 x, u64 y)
{
	u64 r = outside(x);

	if (r & 3)
		return r + y;
	BARRIER();
	r += outside(y);
	if (r % 5 == 2)
		return 7;
	BARRIER();
	return outside(r) * outside(x) + y;
}

/* One way out per case. */
NOINLINE u64 cases(u64 x, u64 y)
{
	u64 r = outside(y);

	if (x == 0)
		return r;
	r = outside(r + x);
	if (x == 1)
		return r ^ y;
	while (r & 1) {
		r = outside(r) >> 1;
		if (r > 1ul << 61)
			return r - y;
	}
	return outside(r) + x;
}

/* middle() as one expression after another, with a single way out. */
static u64 middle_again(u64 x, u64 y)
{
	u64 first = scrambled(x), second = first + scrambled(y);

	return first & 3 ? first + y : second % 5 == 2 ? 7 : scrambled(second) * scrambled(x) + y;
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 20000 : 25;

	for (u64 round = 0; round < rounds; round++) {
		u64 found = middle(round, round * 3 + 1);
		lab_check(found == middle_again(round, round * 3 + 1), "the same with one way out");
		digest = digest * 31 + found;
		digest = digest * 31 + cases(round % 3, round);
	}
	return lab_mix(digest, outside_calls);
}
