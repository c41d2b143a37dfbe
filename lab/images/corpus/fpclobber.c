/*
 * title: The frame pointer changed by inline assembly, then a call
 * rows: 12 14
 * fails: fp call at number; dwarf call at borrowed; fp-reliable call at borrowed on aarch64; fp-x86-reliable call
 *        at borrowed on x86_64; fp-validated call at borrowed on aarch64; orc call at borrowed on x86_64
 * refuses: dwarf call at number; fp-reliable call at number on aarch64
 * survives: hw-shadow boundary
 * expect: small 0x9ef37200cc0d4e35 large 0xaf019aa6bd0e7f65
 *
 * Inline assembly uses the frame pointer as a scratch register and calls while it holds something else: a number, or
 * the record of the function's caller.  The compiler cannot be told (FP is not allowed as a clobber); the assembly
 * restores it before it ends.  Metadata whose CFA is based on FP is wrong as well.
 */
#include "asm.h"
#include "rt.h"

static u64 ticks;

NOINLINE void tick(void)
{
	ticks++;
	BARRIER();
}

NOINLINE __attribute__((used)) void busy(void)
{
	tick();
	BARRIER();
}

#if defined(__aarch64__)
#define OPERAND "x20"
#define CALL_WITH_FP "mov x19, x29\nmov x29, x20\nbl busy\nmov x29, x19\n"
#define SAVED "x19"
#else
#define OPERAND "r12"
#define CALL_WITH_FP "mov %%rbp, %%rbx\nmov %%r12, %%rbp\ncall busy\nmov %%rbx, %%rbp\n"
#define SAVED "rbx"
#endif

NOINLINE u64 number(u64 x)
{
	register u64 wrong __asm__(OPERAND) = x * 0x1234567;
	void *frame = __builtin_frame_address(0);

	OPAQUE(frame);
	__asm__ volatile(CALL_WITH_FP : "+r"(wrong) : : SAVED, LAB_CALL_CLOBBERS);
	return wrong + 1;
}

NOINLINE u64 borrowed(u64 x)
{
	u64 *frame = __builtin_frame_address(0);
	register u64 wrong __asm__(OPERAND) = frame[0];

	OPAQUE(frame);
	__asm__ volatile(CALL_WITH_FP : "+r"(wrong) : : SAVED, LAB_CALL_CLOBBERS);
	return x + (wrong == frame[0]);
}

NOINLINE u64 between(u64 x)
{
	x = number(x) ^ borrowed(x);
	BARRIER();
	return x * 3;
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 2000 : 20;

	for (u64 round = 0; round < rounds; round++)
		digest = digest * 31 + between(round);
	lab_check(ticks == 2 * rounds, "every call was made");
	return digest;
}
