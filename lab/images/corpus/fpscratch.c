/*
 * title: A frame pointer that the compiler took for itself
 * rows: 12 14
 * flags: -fomit-frame-pointer
 * fails: fp call at pressed; sframe-v6 call at pressed on aarch64; fp-x86 call at pressed on x86_64
 * refuses: fp-reliable call at pressed on aarch64; fp-x86-reliable call at pressed on x86_64; fp-validated call at
 *          pressed on aarch64
 * survives: dwarf boundary; orc boundary on x86_64; hw-shadow boundary
 * expect: small 0xf9793d25bf625f65 large 0x2770e69f88e1fa65
 *
 * As a compiler would that ignores -fno-omit-frame-pointer, in this one file: there are more values alive across calls
 * than other callee-saved registers, so that the frame pointer holds one of them.  Unwind information is right.
 */
#include "rt.h"

static u64 ticks;

NOINLINE u64 tick(u64 x)
{
	ticks++;
	OPAQUE(x);
	return x * 5 + 1;
}

NOINLINE u64 pressed(const u64 *v)
{
	u64 a = v[0], b = v[1], c = v[2], d = v[3], e = v[4], f = v[5], g = v[6], h = v[7], i = v[8], j = v[9], k = v[10];

	for (u64 round = 0; round < 3; round++) {
		a += tick(round);
		b ^= a, c += b, d ^= c, e += d, f ^= e, g += f, h ^= g, i += h, j ^= i, k += j;
	}
	return a + b * 3 + c * 5 + d * 7 + e * 9 + f * 11 + g * 13 + h * 15 + i * 17 + j * 19 + k * 21;
}

u64 lab_main(u64 large)
{
	static u64 v[11];
	u64 digest = LAB_SEED, rounds = large ? 1000 : 8;

	for (u64 round = 0; round < rounds; round++) {
		for (u64 n = 0; n < COUNT(v); n++)
			v[n] = round * n + 7;
		digest = digest * 31 + pressed(v);
	}
	lab_check(ticks == rounds * 3, "every call was made");
	return digest;
}
