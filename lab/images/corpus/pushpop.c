/*
 * title: Push and pop in the middle of a function
 * rows: 12 17
 * flags: -fomit-frame-pointer
 * fails: fp call at pushed; fp-reliable call at pushed on aarch64; fp-x86-reliable call at pushed on x86_64
 * refuses: dwarf call at pushed; sframe boundary at pushed
 * survives: hw-shadow boundary; dwarf boundary
 * expect: small 0x0bae2f985d7ecf4a large 0x2884d58f8d0743cd
 *
 * Inline assembly keeps a register on the stack across a call.  The function has no frame pointer, so its CFA is SP plus
 * a constant that the push has made wrong; nothing tells the compiler.
 */
#include "asm.h"
#include "rt.h"

static u64 ticks;

NOINLINE __attribute__((used)) void tick(void)
{
	ticks++;
	BARRIER();
}

#if defined(__aarch64__)
#define OPERAND "x20"
#define PUSH_CALL_POP "str x20, [sp, #-16]!\nmov x20, #0\nbl tick\nldr x20, [sp], #16\n"
#else
#define OPERAND "r12"
#define PUSH_CALL_POP "push %%r12\nxor %%r12d, %%r12d\ncall tick\npop %%r12\n"
#endif

NOINLINE u64 pushed(u64 x)
{
	register u64 kept __asm__(OPERAND) = x;

	__asm__ volatile(PUSH_CALL_POP : "+r"(kept) : : LAB_CALL_CLOBBERS);
	return kept + 1;
}

NOINLINE u64 caller(u64 x)
{
	x = pushed(x) * 3;
	OPAQUE(x);
	return x + pushed(x);
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 3000 : 25;

	for (u64 round = 0; round < rounds; round++)
		digest = digest * 31 + caller(round);
	lab_check(ticks == rounds * 2, "every call was made");
	return digest;
}
