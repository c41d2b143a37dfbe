/*
 * title: SP moved by an amount that no CFI row can say
 * rows: 12 17 40
 * fails: dwarf call at with_room; sframe call at with_room; orc call at with_room on x86_64; fp call at with_room;
 *        fp-reliable call at with_room on aarch64
 * refuses: fp-validated call at with_room on aarch64
 * survives: hw-shadow boundary
 * expect: small 0x6db8571a4e695077 large 0xf72260e66fab19dd
 *
 * A routine in assembly makes room on its stack at run time, as the kernel does for its randomised stack offset, copies
 * a saved trace into it and calls on.  Its CFA is SP plus a constant, which is right only before the room is made; what
 * lies at that place afterwards is a return address, but of another time.
 */
#include "asm.h"
#include "rt.h"

u64 with_room(u64 x, const u64 *words, u64 count);

#if defined(__aarch64__)
LAB_FUNCTION(with_room, LAB_CFI("stp x19, x30, [sp, #-16]!\n.cfi_def_cfa_offset 16\n"
				".cfi_offset x19, -16\n.cfi_offset x30, -8\nmov x19, sp\n"
				"sub sp, sp, x2, lsl #3\n"
				"1: subs x2, x2, #1\nldr x3, [x1, x2, lsl #3]\nmov x4, sp\nstr x3, [x4, x2, lsl #3]\nb.ne 1b\n"
				"bl work\nmov sp, x19\n"
				"ldp x19, x30, [sp], #16\n.cfi_def_cfa_offset 0\n.cfi_restore x19\n.cfi_restore x30\nret\n"));
#else
LAB_FUNCTION(with_room, LAB_CFI("push %rbx\n.cfi_def_cfa_offset 16\n.cfi_offset rbx, -16\nmov %rsp, %rbx\n"
				"lea (,%rdx,8), %rcx\nsub %rcx, %rsp\n"
				"1: mov -8(%rsi,%rdx,8), %rcx\nmov %rcx, -8(%rsp,%rdx,8)\ndec %rdx\njne 1b\n"
				"call work\nmov %rbx, %rsp\n"
				"pop %rbx\n.cfi_def_cfa_offset 8\n.cfi_restore rbx\nret\n"));
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

/* Where this call came from, as many times as there is room for. */
NOINLINE void save_trace(u64 *words, u64 count)
{
	for (u64 i = 0; i < count; i++)
		words[i] = (u64)__builtin_return_address(0);
}

NOINLINE u64 between(u64 x, const u64 *words)
{
	x = with_room(x, words, 2 + x % 3 * 2);
	BARRIER();
	return x + 1;
}

u64 lab_main(u64 large)
{
	static u64 words[6];
	u64 digest = LAB_SEED, rounds = large ? 2000 : 12;

	save_trace(words, COUNT(words));
	for (u64 round = 0; round < rounds; round++)
		digest = digest * 31 + between(round, words);
	lab_check(ticks == rounds, "every call was made");
	return digest;
}
