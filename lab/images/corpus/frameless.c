/*
 * title: Assembly that calls without a frame
 * rows: 12 18 44
 * fails: fp call at with_cfi; fp-reliable call at with_cfi on aarch64; fp-x86-reliable call at with_cfi on x86_64;
 *        sframe-v6 boundary at work on aarch64
 * refuses: dwarf call at without_cfi; sframe call at without_cfi; fp-validated call at with_cfi on aarch64
 * survives: dwarf boundary; dwarf boundary at with_cfi; hw-shadow boundary
 * expect: small 0x6db8571a4e695077 large 0xf72260e66fab19dd
 *
 * Two routines that save their return address and make a call but keep no frame record, one with unwind information and
 * one without.
 */
#include "asm.h"
#include "rt.h"

u64 with_cfi(u64 x);
u64 without_cfi(u64 x);

#if defined(__aarch64__)
LAB_FUNCTION(with_cfi, LAB_CFI("str x30, [sp, #-16]!\n.cfi_def_cfa_offset 16\n.cfi_offset x30, -16\n"
			       "bl work\nadd x0, x0, #1\n"
			       "ldr x30, [sp], #16\n.cfi_def_cfa_offset 0\n.cfi_restore x30\nret\n"));
LAB_FUNCTION(without_cfi, "str x30, [sp, #-16]!\nbl work\nadd x0, x0, #1\nldr x30, [sp], #16\nret\n");
#else
LAB_FUNCTION(with_cfi, LAB_CFI("sub $8, %rsp\n.cfi_def_cfa_offset 16\ncall work\ninc %rax\n"
			       "add $8, %rsp\n.cfi_def_cfa_offset 8\nret\n"));
LAB_FUNCTION(without_cfi, "sub $8, %rsp\ncall work\ninc %rax\nadd $8, %rsp\nret\n");
#endif

static u64 ticks;

NOINLINE void tick(void)
{
	ticks++;
	BARRIER();
}

NOINLINE __attribute__((used)) u64 work(u64 x)
{
	tick();
	BARRIER();
	return x * 3;
}

NOINLINE u64 middle(u64 x)
{
	u64 one = with_cfi(x), other = without_cfi(x);

	lab_check(one == other, "two routines agree");
	return one;
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 2000 : 12;

	for (u64 round = 0; round < rounds; round++)
		digest = digest * 31 + middle(round);
	lab_check(ticks == 2 * rounds, "every call was made");
	return digest;
}
