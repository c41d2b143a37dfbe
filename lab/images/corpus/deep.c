/*
 * title: Deep recursion
 * rows: 1 12 13 25 39 45
 * fails: fp boundary at deep; fp inject at lab_mix; guess inject at deep on aarch64
 * refuses: fp-reliable inject on aarch64; fp-x86-reliable inject on x86_64
 * adds: guess inject at deep on x86_64
 * survives: dwarf boundary at deep; dwarf inject at lab_mix; orc inject at lab_mix on x86_64
 * expect: small 0x491966e01d1120e9 large 0xf8115c99e5017c0a
 *
 * One frame per level, work before the call and after the return.  Small: 30 levels.  Large: 1000 levels, far
 * beyond the 100 entries live patching looks at.  Checked against the same sum computed by a loop.
 */
#include "rt.h"

NOINLINE u64 deep(u64 level, u64 x)
{
	if (!level)
		return x;
	u64 below = deep(level - 1, x * 6364136223846793005ul + level);
	BARRIER();
	return (below ^ level) + (below >> 7);
}

NOINLINE u64 flat(u64 levels, u64 x)
{
	for (u64 level = levels; level; level--)
		x = x * 6364136223846793005ul + level;
	for (u64 level = 1; level <= levels; level++)
		x = (x ^ level) + (x >> 7);
	return x;
}

u64 lab_main(u64 large)
{
	u64 levels = large ? 1000 : 30, rounds = large ? 60 : 3, digest = LAB_SEED;

	for (u64 round = 0; round < rounds; round++) {
		u64 found = deep(levels, round + 1);
		lab_check(found == flat(levels, round + 1), "recursion and loop agree");
		digest = lab_mix(digest, found);
	}
	return digest;
}
