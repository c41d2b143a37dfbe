/*
 * title: A hoisted stack adjustment whose CFI stayed behind
 * rows: 12 35
 * arches: x86_64
 * flags: -fomit-frame-pointer
 * fails: dwarf boundary at pair; orc boundary at pair; sframe boundary at pair
 * survives: dwarf call; orc call; hw-shadow boundary; guess boundary at pair
 * expect: small 0xc7d39f4dc5e5f365 large 0x9135caa57231c265
 *
 * Both ways out are tail calls with the same epilogue.  clang (19 to 22, issue 220720) moves its first instruction, add
 * to RSP, above the branch and leaves the CFA's change behind in each, so that the row is 8 bytes wrong between.  The
 * caller keeps the stack aligned to 8 bytes, as kernels do: 8 bytes further is its own return address.
 */
#include "asm.h"
#include "rt.h"

static u64 ticks;

NOINLINE void tick(void)
{
	ticks++;
	BARRIER();
}

NOINLINE u64 left(u64 x)
{
	OPAQUE(x);
	return x * 3;
}

NOINLINE u64 right(u64 x)
{
	OPAQUE(x);
	return x * 5 + 1;
}

NOINLINE __attribute__((used)) u64 pair(u64 x, int which)
{
	tick();
	if (which)
		return left(x);
	return right(x);
}

u64 caller(u64 x, int which);

LAB_FUNCTION(caller, LAB_CFI("call pair\ninc %rax\nret\n"));

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 4000 : 25;

	/* So that it saves RBP: it has a row of its own for it. */
	__asm__ volatile("" : : : "rbp");
	for (u64 round = 0; round < rounds; round++)
		digest = digest * 31 + caller(round, round & 1);
	lab_check(ticks == rounds, "every call was made");
	return digest;
}
