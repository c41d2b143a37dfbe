/*
 * title: Tail calls, direct and through pointers
 * rows: 12 16 42
 * fails: fp boundary at stop; fp boundary at framed
 * survives: dwarf boundary; orc boundary on x86_64; hw-shadow boundary
 * expect: small 0xd7e405dc684e2376 large 0x6d89f72fe721a692
 *
 * Sibling calls from functions that never had a frame and from functions that took theirs down, so that the return
 * address seen in the callee is not of the function before it.  The functions are external and their arguments
 * opaque: none is cloned or turned into a loop.
 */
#include "rt.h"

typedef u64 step(u64 state, u64 left);

u64 even(u64 state, u64 left);
u64 odd(u64 state, u64 left);
u64 stop(u64 state, u64 left);
u64 jump(u64 state, u64 left);
u64 framed(u64 state, u64 left);

static step *volatile steps[] = { even, odd, jump, framed };

NOINLINE u64 scramble(u64 x)
{
	OPAQUE(x);
	return (x ^ x >> 29) * 0xbf58476d1ce4e5b9ul;
}

NOINLINE u64 stop(u64 state, u64 left)
{
	return state + left;
}

/* Without a frame where leaves have none; direct. */
NOINLINE u64 even(u64 state, u64 left)
{
	OPAQUE(state);
	return left ? odd(state + 2, left - 1) : stop(state, left);
}

NOINLINE u64 odd(u64 state, u64 left)
{
	OPAQUE(state);
	return left ? jump(state * 3, left - 1) : stop(state, left);
}

/* The same, indirect. */
NOINLINE u64 jump(u64 state, u64 left)
{
	OPAQUE(state);
	if (!left)
		return stop(state, left);
	return steps[state >> 3 & 3](state ^ left, left - 1);
}

/* A frame, taken down before the jump. */
NOINLINE u64 framed(u64 state, u64 left)
{
	u64 next = scramble(state) + scramble(left);

	if (!left)
		return stop(next, left);
	return steps[next & 1](next, left - 1);
}

/* The same transitions without a tail call. */
NOINLINE u64 simulate(u64 state, u64 left, u64 which)
{
	for (;; left--) {
		u64 next;
		if (which == 3) {
			state = scramble(state) + scramble(left);
			next = state & 1;
		} else {
			next = which == 0 ? 1 : which == 1 ? 2 : state >> 3 & 3;
		}
		if (!left)
			return state;
		state = which == 0 ? state + 2 : which == 1 ? state * 3 : which == 2 ? state ^ left : state;
		which = next;
	}
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, length = large ? 20000 : 40, rounds = large ? 4 : 2;

	for (u64 round = 0; round < rounds; round++)
		for (u64 first = 0; first < COUNT(steps); first++) {
			u64 found = steps[first](round + 11, length + first);
			lab_check(found == simulate(round + 11, length + first, first), "jumps and loop agree");
			digest = lab_mix(digest, found);
		}
	return digest;
}
