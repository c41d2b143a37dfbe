/*
 * title: A function of more than 64 KiB
 * rows: 12 33
 * fails: fp boundary at large_function
 * survives: dwarf boundary; sframe boundary at large_function; orc boundary on x86_64
 * expect: small 0x354c2c45e5ee1539 large 0x666c89f340882f25
 *
 * Between prologue and epilogue lie 72 KiB of code that is jumped over, so the unwind information needs
 * DW_CFA_advance_loc4: the opcode the kernel's parser once lacked.
 */
#include "rt.h"

#if defined(__aarch64__)
#define FILLER ".rept 18432\nnop\n.endr"
#else
#define FILLER ".rept 73728\nnop\n.endr"
#endif

NOINLINE u64 helper(u64 x)
{
	OPAQUE(x);
	return (x ^ 0x55) + 3;
}

NOINLINE u64 large_function(u64 x, u64 *never)
{
	u64 r = helper(x);

	if (__builtin_expect(never != 0, 1)) {
		r += helper(*never);
		if (__builtin_expect(*never == 12345, 1))
			__asm__ volatile(FILLER);
		r ^= helper(r);
	}
	BARRIER();
	return r + helper(x + 1);
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, other = 1, rounds = large ? 50000 : 20;

	for (u64 round = 0; round < rounds; round++) {
		u64 found = large_function(round, round & 1 ? &other : 0);
		if (!(round & 1))
			lab_check(found == (round ^ 0x55) + ((round + 1) ^ 0x55) + 6, "the short way");
		digest = digest * 31 + found;
	}
	return digest;
}
