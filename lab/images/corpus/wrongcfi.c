/*
 * title: Hand-written unwind information that is wrong
 * rows: 12 18 23
 * fails: dwarf call at helper; sframe call at helper; orc call at helper on x86_64; sframe-v6 boundary at helper
 *        on aarch64
 * refuses: fp-validated call at helper on aarch64
 * survives: fp call; hw-shadow boundary
 * expect: small 0x716e7708336de8a2 large 0x0ef649e0672c4c39
 *
 * The information of helper was written when it was still a part of outer: it describes both frames as one, so that
 * a walk by it goes from helper to the caller of outer.  Both keep proper frame records.
 */
#include "asm.h"
#include "rt.h"

u64 outer(u64 x);

#if defined(__aarch64__)
LAB_FUNCTION(outer, LAB_CFI("stp x29, x30, [sp, #-32]!\n.cfi_def_cfa_offset 32\n"
			    ".cfi_offset x29, -32\n.cfi_offset x30, -24\nmov x29, sp\n"
			    "bl helper\nadd x0, x0, #1\n"
			    "ldp x29, x30, [sp], #32\n.cfi_def_cfa_offset 0\n.cfi_restore x29\n.cfi_restore x30\nret\n"));
LAB_FUNCTION(helper, LAB_CFI("stp x29, x30, [sp, #-16]!\n.cfi_def_cfa_offset 48\n"
			     ".cfi_offset x29, -32\n.cfi_offset x30, -24\nmov x29, sp\n"
			     "bl work\nadd x0, x0, #2\n"
			     "ldp x29, x30, [sp], #16\n.cfi_def_cfa_offset 0\n.cfi_restore x29\n.cfi_restore x30\nret\n"));
#else
LAB_FUNCTION(outer, LAB_CFI("push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset rbp, -16\nmov %rsp, %rbp\n"
			    "sub $16, %rsp\n.cfi_def_cfa_offset 32\ncall helper\ninc %rax\n"
			    "add $16, %rsp\n.cfi_def_cfa_offset 16\n"
			    "pop %rbp\n.cfi_def_cfa_offset 8\n.cfi_restore rbp\nret\n"));
LAB_FUNCTION(helper, LAB_CFI("push %rbp\n.cfi_def_cfa_offset 48\n.cfi_offset rbp, -16\nmov %rsp, %rbp\n"
			     "call work\nadd $2, %rax\n"
			     "pop %rbp\n.cfi_def_cfa_offset 8\n.cfi_restore rbp\nret\n"));
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

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 3000 : 25;

	for (u64 round = 0; round < rounds; round++) {
		u64 found = outer(round);
		lab_check(found == round * 3 + 3, "the routines add three");
		digest = digest * 31 + found;
	}
	lab_check(ticks == rounds, "every call was made");
	return digest;
}
