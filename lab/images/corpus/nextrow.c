/*
 * title: A noreturn call before another function's row
 * rows: 12 41
 * fails: dwarf-pc call at leave; dwarf-pc boundary at grind
 * survives: dwarf boundary; orc boundary on x86_64; fp call
 * expect: small 0xa92c4eed58771d25 large 0x1594a663c88d6020
 *
 * leave ends in a call that does not return, and directly behind it lies the cold part of another function, whose row
 * at its first instruction is of a frame in mid-function, as compilers split off.  Looked up at the return address
 * itself, leave has that row; one byte before, its own.
 */
#include "asm.h"
#include "rt.h"

#if defined(__aarch64__)
#define ENTER LAB_CFI("stp x29, x30, [sp, #-32]!\n.cfi_def_cfa_offset 32\n" \
		      ".cfi_offset x29, -32\n.cfi_offset x30, -24\nmov x29, sp\nbl leave\nnop\n")
#define LEAVE LAB_CFI("stp x29, x30, [sp, #-16]!\n.cfi_def_cfa_offset 16\n" \
		      ".cfi_offset x29, -16\n.cfi_offset x30, -8\nmov x29, sp\nbl finish\n")
#define COLD LAB_CFI(".cfi_def_cfa_offset 48\n.cfi_offset x29, -32\n.cfi_offset x30, -24\nnop\nbl finish\nnop\n")
#else
#define ENTER LAB_CFI("push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset rbp, -16\nmov %rsp, %rbp\n" \
		      "sub $16, %rsp\n.cfi_def_cfa_offset 32\ncall leave\nnop\n")
#define LEAVE LAB_CFI("push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset rbp, -16\nmov %rsp, %rbp\ncall finish\n")
#define COLD LAB_CFI(".cfi_def_cfa_offset 48\n.cfi_offset rbp, -16\nnop\ncall finish\nnop\n")
#endif
__asm__(".text\n.p2align 4\n" LAB_BEHIND(enter, ENTER) LAB_BEHIND(leave, LEAVE) LAB_BEHIND(cold, COLD));
u64 enter(u64 x);

NOINLINE u64 grind(u64 x)
{
	for (int i = 0; i < 12; i++)
		x = x * 0x5851f42d4c957f2dul + (x >> 33);
	return x;
}

__attribute__((used)) _Noreturn NOINLINE void finish(u64 x)
{
	lab_report(grind(x));
	lab_exit(0);
}

NOINLINE u64 maybe(u64 x, u64 limit)
{
	u64 found = grind(x);

	if (x < limit)
		return found & 0xffff;
	found = enter(x ^ found);
	BARRIER();
	return found + 1;
}

u64 lab_main(u64 large)
{
	u64 limit = large ? 5000 : 10, digest = 0;

	for (u64 x = 0;; x++)
		digest += maybe(x, limit);
	return digest;
}
