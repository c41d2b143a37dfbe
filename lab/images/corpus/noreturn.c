/*
 * title: A noreturn call as the last instruction
 * rows: 12 41
 * refuses: dwarf-pc call at give_up
 * survives: dwarf call; orc call on x86_64; sframe call
 * expect: small 0x5521f8ed0436a348 large 0x69b3c90772bfcfc9
 *
 * The return address of such a call lies behind the end of the function, in the next one or in padding.  The
 * program reports its result and exits from the bottom of a chain of them, so lab_main never returns.
 */
#include "rt.h"

NOINLINE u64 grind(u64 x)
{
	for (int i = 0; i < 12; i++)
		x = x * 0x5851f42d4c957f2dul + (x >> 33);
	return x;
}

_Noreturn NOINLINE void finish(u64 result, int status)
{
	u64 first = grind(result), again = grind(result);

	lab_check(first == again, "the same twice");
	lab_report(result);
	lab_exit((u64)status);
}

_Noreturn NOINLINE void give_up(u64 result)
{
	grind(result);
	finish(result, 0);
}

NOINLINE u64 maybe_give_up(u64 x, u64 limit)
{
	if (x < limit)
		return grind(x) & 0xffff;
	give_up(x ^ grind(limit));
}

u64 lab_main(u64 large)
{
	u64 limit = large ? 20000 : 25, digest = 0;

	for (u64 x = 0;; x++)
		digest += maybe_give_up(x, limit);
	return digest;
}
