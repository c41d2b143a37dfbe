/*
 * title: cfi_negate_ra_state before the instruction it is about
 * rows: 12 32 34
 * arches: aarch64
 * fails: scs call at early with pac-register-record; scs boundary at work with pac-register-record
 * refuses: scs-lr call at early with pac-register-record; scs-fp call at early with pac-register-record
 * survives: dwarf boundary; scs-lr call with pac-register-record
 * expect: small 0x59f914c8eb778683 large 0x0ef649e0672c4c39
 *
 * The CFI of LLVM 20 (issue 137802), written by hand: the change of signing state is placed before PACIASP and AUTIASP.
 * The kernel's patcher looks at the instruction before that place, finds no PAC there and goes on, so that the function
 * keeps its PAC and has no entry on the shadow stack.  HINT 25 and 29 are PACIASP and AUTIASP.
 */
#include "asm.h"
#include "rt.h"

u64 early(u64 x);

LAB_FUNCTION(early, LAB_CFI("nop\n.cfi_negate_ra_state\nhint #25\n"
			    "stp x29, x30, [sp, #-16]!\n.cfi_def_cfa_offset 16\n.cfi_offset x29, -16\n.cfi_offset x30, -8\n"
			    "mov x29, sp\nbl work\nadd x0, x0, #1\n"
			    "ldp x29, x30, [sp], #16\n.cfi_def_cfa_offset 0\n.cfi_restore x29\n.cfi_restore x30\n"
			    ".cfi_negate_ra_state\nhint #29\nret\n"));

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
	x = early(x) + 2;
	BARRIER();
	return x;
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 3000 : 20;

	for (u64 round = 0; round < rounds; round++)
		digest = digest * 31 + middle(round);
	lab_check(ticks == rounds, "every call was made");
	return digest;
}
