/*
 * title: Assembly that moves to another stack and back
 * rows: 12 18 40
 * fails: fp call at by_nothing; fp-reliable call at by_nothing on aarch64; fp-x86-reliable call at by_nothing on
 *        x86_64
 * refuses: dwarf call at by_nothing; dwarf call at by_sp; orc call at by_sp on x86_64
 * survives: fp call at by_fp; dwarf boundary at by_fp; hw-shadow boundary
 * expect: small 0x6d6db7c41843afdb large 0x32e70a8a283a344d
 *
 * Three routines that set SP to another area, call there, and set it back: with a frame record and a CFA based on FP;
 * with a frame record and a CFA that says SP; with nothing.  The area is far down the same stack: truth keeps a stack of
 * its own for each of the guest's, which nothing but an exception links.
 */
#include "asm.h"
#include "rt.h"

u64 by_fp(u64 x, void *top);
u64 by_sp(u64 x, void *top);
u64 by_nothing(u64 x, void *top);

#if defined(__aarch64__)
#define ENTER "stp x29, x30, [sp, #-16]!\n.cfi_def_cfa_offset 16\n.cfi_offset x29, -16\n.cfi_offset x30, -8\nmov x29, sp\n"
#define SWITCH "mov sp, x1\nbl work\nmov sp, x29\n"
#define LEAVE "ldp x29, x30, [sp], #16\n.cfi_def_cfa sp, 0\n.cfi_restore x29\n.cfi_restore x30\nret\n"
LAB_FUNCTION(by_fp, LAB_CFI(ENTER ".cfi_def_cfa x29, 16\n" SWITCH LEAVE));
LAB_FUNCTION(by_sp, LAB_CFI(ENTER SWITCH LEAVE));
LAB_FUNCTION(by_nothing, "stp x19, x30, [sp, #-16]!\nmov x19, sp\nmov sp, x1\nbl work\nmov sp, x19\n"
			 "ldp x19, x30, [sp], #16\nret\n");
#else
#define ENTER "push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset rbp, -16\nmov %rsp, %rbp\n"
#define SWITCH "mov %rsi, %rsp\ncall work\nmov %rbp, %rsp\n"
#define LEAVE "pop %rbp\n.cfi_def_cfa rsp, 8\n.cfi_restore rbp\nret\n"
LAB_FUNCTION(by_fp, LAB_CFI(ENTER ".cfi_def_cfa_register rbp\n" SWITCH LEAVE));
LAB_FUNCTION(by_sp, LAB_CFI(ENTER SWITCH LEAVE));
LAB_FUNCTION(by_nothing, "push %rbx\nmov %rsp, %rbx\nmov %rsi, %rsp\ncall work\nmov %rbx, %rsp\npop %rbx\nret\n");
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

NOINLINE u64 between(u64 x)
{
	u8 *far = (u8 *)((u64)__builtin_frame_address(0) & ~15ul) - 1024;
	u64 found;

	OPAQUE(x);
	found = by_fp(x, far) + by_sp(x, far) + by_nothing(x, far);
	lab_check(found == x * 9, "three routines agree");
	return found;
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 2000 : 12;

	for (u64 round = 0; round < rounds; round++)
		digest = digest * 31 + between(round);
	lab_check(ticks == 3 * rounds, "every call was made");
	return digest;
}
