/*
 * title: Early returns: the epilogue in the middle
 * rows: 12 16 41
 * fails: fp boundary at middle; guess boundary at cases on aarch64
 * survives: dwarf boundary; hw-shadow boundary
 * expect: small 0x95e17844f49ce0ca large 0xf8ca40fc52c25e1b
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

#define LIKELY(condition) __builtin_expect(!!(condition), 1)

/* The likely return comes first; behind it the function still has its frame, which a tail call takes down. */
NOINLINE u64 middle(u64 x, u64 y)
{
	u64 r = outside(x);

	if (LIKELY(r & 3))
		return r + y;
	r += outside(y);
	return outside(r ^ x);
}

/* Behind the return comes code that does not return. */
NOINLINE u64 checked(u64 x, u64 y)
{
	u64 r = outside(x);

	if (LIKELY(r != y))
		return r - y;
	lab_report(outside(r));
	lab_exit(1);
}

/* Three ways out with the frame up, each with an epilogue of its own. */
NOINLINE u64 cases(u64 x, u64 y)
{
	u64 r = outside(y);

	if (LIKELY(x & 1))
		return r ^ x;
	r += outside(x);
	if (LIKELY(x & 2))
		return outside(r + 1);
	r += outside(r);
	return scrambled(r) ^ outside(r + y);
}

/* The same, each with a single way out. */
static u64 middle_again(u64 x, u64 y)
{
	u64 first = scrambled(x);

	return first & 3 ? first + y : scrambled((first + scrambled(y)) ^ x);
}

static u64 cases_again(u64 x, u64 y)
{
	u64 first = scrambled(y), second = first + scrambled(x), third = second + scrambled(second);

	return x & 1 ? first ^ x : x & 2 ? scrambled(second + 1) : scrambled(third) ^ scrambled(third + y);
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 20000 : 25;

	for (u64 round = 0; round < rounds; round++) {
		u64 left = middle(round, round * 3 + 1), right = cases(round, round + 5);
		lab_check(left == middle_again(round, round * 3 + 1), "middle with one way out");
		lab_check(right == cases_again(round, round + 5), "cases with one way out");
		lab_check(checked(round, ~round) == scrambled(round) - ~round, "checked");
		digest = digest * 31 + left;
		digest = digest * 31 + right;
	}
	return lab_mix(digest, outside_calls);
}
