/*
 * title: A return address that the CFI keeps in a dead slot
 * rows: 12 34 36
 * arches: aarch64
 * fails: fp boundary at dead
 * refuses: dwarf boundary at dead; sframe boundary at dead
 * survives: dwarf boundary; dwarf boundary at restored; hw-shadow boundary
 * expect: small 0x3ee03e4ad18b5811 large 0xd08b4a6bbeda7539
 *
 * The CFI of clang 19 with -mbranch-protection=pac-ret, written by hand: at AUTIASP the rule for x30 still names the
 * slot that the instruction before has given back.  It lies below SP, where an exception writes.  The other function is
 * as gcc 12 has it.  HINT 25 and 29 are PACIASP and AUTIASP.
 */
#include "asm.h"
#include "rt.h"

u64 dead(u64 x);
u64 restored(u64 x);

#define ENTER                                                                                                  \
	"hint #25\n.cfi_negate_ra_state\nstp x29, x30, [sp, #-16]!\n.cfi_def_cfa_offset 16\n.cfi_offset x29, -16\n" \
	".cfi_offset x30, -8\nmov x29, sp\nbl work\nadd x0, x0, #1\n"

LAB_FUNCTION(dead, LAB_CFI(ENTER "ldp x29, x30, [sp], #16\n.cfi_def_cfa_offset 0\n"
				 "hint #29\n.cfi_negate_ra_state\n.cfi_restore x29\n.cfi_restore x30\nret\n"));
LAB_FUNCTION(restored, LAB_CFI(ENTER "ldp x29, x30, [sp], #16\n.cfi_restore x29\n.cfi_restore x30\n.cfi_def_cfa_offset 0\n"
				     "hint #29\n.cfi_negate_ra_state\nret\n"));

NOINLINE __attribute__((used)) u64 work(u64 x)
{
	OPAQUE(x);
	return x * 3;
}

NOINLINE u64 middle(u64 x)
{
	u64 one = dead(x), other = restored(x);

	lab_check(one == other, "both functions agree");
	return one;
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 3000 : 15;

	for (u64 round = 0; round < rounds; round++)
		digest = digest * 31 + middle(round);
	return digest;
}
