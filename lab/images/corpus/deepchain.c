/*
 * title: More than a hundred frames
 * rows: 1 12 45
 * fails: sframe-v6 call at down on aarch64; sframe-v5 call at down on aarch64; fp boundary at down
 * refuses: fp+cap100 call at down
 * survives: dwarf boundary; fp+cap100 call; hw-shadow boundary
 * expect: small 0xff44cfd30c9c420f large 0x501ee696d2610ec8
 *
 * Live patching looks at 100 entries.  A design that fills its buffer and does not say so has told a short trace.
 */
#include "rt.h"

NOINLINE u64 down(u64 level, u64 x)
{
	if (!level)
		return x;
	u64 below = down(level - 1, x + level);
	BARRIER();
	return below ^ level;
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 200 : 1;

	for (u64 round = 0; round < rounds; round++)
		digest = lab_mix(digest, down(100, round + 1));
	return digest;
}
