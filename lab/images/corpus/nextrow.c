/*
 * title: A noreturn call before another function's row
 * rows: 12 41
 * fails: dwarf-pc call at leave; dwarf-pc boundary at finish
 * survives: dwarf call; dwarf boundary at finish; orc call on x86_64; fp call
 * expect: small 0x647c7c7a87240a62 large 0x256687688ef37bc1
 *
 * leave ends in a call that does not return, and directly behind it begins a function whose unwind information, written
 * by hand, has its frame from the first instruction on.  Looked up at the return address itself, leave has that row; one
 * byte before, its own.
 */
#include "asm.h"
#include "rt.h"

#if defined(__aarch64__)
#define ENTER LAB_CFI("stp x29, x30, [sp, #-32]!\n.cfi_def_cfa_offset 32\n" \
		      ".cfi_offset x29, -32\n.cfi_offset x30, -24\nmov x29, sp\nbl leave\nnop\n")
#define LEAVE LAB_CFI("stp x29, x30, [sp, #-16]!\n.cfi_def_cfa_offset 16\n" \
		      ".cfi_offset x29, -16\n.cfi_offset x30, -8\nmov x29, sp\nbl finish\n")
#define NEXT LAB_CFI(".cfi_def_cfa_offset 48\n.cfi_offset x29, -32\n.cfi_offset x30, -24\n" \
		     "sub sp, sp, #48\nstp x29, x30, [sp, #16]\nadd x29, sp, #16\nbl grind\n" \
		     "ldp x29, x30, [sp, #16]\nadd sp, sp, #48\n" \
		     ".cfi_def_cfa_offset 0\n.cfi_restore x29\n.cfi_restore x30\nret\n")
#else
#define ENTER LAB_CFI("push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset rbp, -16\nmov %rsp, %rbp\n" \
		      "sub $16, %rsp\n.cfi_def_cfa_offset 32\ncall leave\nnop\n")
#define LEAVE LAB_CFI("push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset rbp, -16\nmov %rsp, %rbp\ncall finish\n")
#define NEXT LAB_CFI(".cfi_def_cfa_offset 48\n.cfi_offset rbp, -16\n" \
		     "push %rbp\nmov %rsp, %rbp\nsub $32, %rsp\ncall grind\nadd $32, %rsp\npop %rbp\n" \
		     ".cfi_def_cfa_offset 8\n.cfi_restore rbp\nret\n")
#endif
__asm__(".text\n.p2align 4\n" LAB_BEHIND(enter, ENTER) LAB_BEHIND(leave, LEAVE) LAB_BEHIND(next, NEXT));
u64 next(u64 x);
u64 enter(u64 x);

NOINLINE __attribute__((used)) u64 grind(u64 x)
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
	u64 found = next(x + 1);

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
