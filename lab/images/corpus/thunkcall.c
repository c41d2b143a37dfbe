/*
 * title: A call of a thunk that preserves every register
 * rows: 12 15
 * fails: fp call at conditional on aarch64; fp call at thunk on aarch64; fp call at conditional on x86_64 with
 *        base-omit-leaf
 * refuses: fp-validated call at conditional on aarch64
 * survives: dwarf call; hw-shadow boundary; orc call on x86_64; fp call on x86_64
 * expect: small 0x6dd8f5b344a81a45 large 0xbf4f847f9d4fcdc5
 *
 * As the kernel's preemption thunks are called: inline assembly that names no clobbered register but the link register,
 * on one path only.  gcc on x86-64 sees a leaf that needs no frame there (objtool: call without frame pointer
 * save/setup); clang on AArch64 saves x30 without a frame record.  With the stack pointer as an operand, gcc makes the
 * frame first.  The thunk itself keeps a frame record.
 */
#include "asm.h"
#include "rt.h"

void thunk(void);

#if defined(__aarch64__)
register u64 stack_pointer __asm__("sp");
#define CALL "bl thunk"
#define CLOBBERS "memory", "x30"
LAB_FUNCTION(thunk, LAB_CFI("stp x29, x30, [sp, #-112]!\n.cfi_def_cfa_offset 112\n.cfi_offset x29, -112\n"
			    ".cfi_offset x30, -104\nmov x29, sp\n"
			    "stp x0, x1, [sp, #16]\nstp x2, x3, [sp, #32]\nstp x4, x5, [sp, #48]\n"
			    "stp x6, x7, [sp, #64]\nstp x8, x9, [sp, #80]\nstp x10, x11, [sp, #96]\n"
			    "bl tick\n"
			    "ldp x0, x1, [sp, #16]\nldp x2, x3, [sp, #32]\nldp x4, x5, [sp, #48]\n"
			    "ldp x6, x7, [sp, #64]\nldp x8, x9, [sp, #80]\nldp x10, x11, [sp, #96]\n"
			    "ldp x29, x30, [sp], #112\n.cfi_def_cfa_offset 0\n.cfi_restore x29\n.cfi_restore x30\nret\n"));
#else
register u64 stack_pointer __asm__("rsp");
#define CALL "call thunk"
#define CLOBBERS "memory", "cc"
LAB_FUNCTION(thunk, LAB_CFI("push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset rbp, -16\nmov %rsp, %rbp\n"
			    ".cfi_def_cfa_register rbp\n"
			    "push %rdi\npush %rsi\npush %rdx\npush %rcx\npush %rax\npush %r8\npush %r9\npush %r10\npush %r11\n"
			    "call tick\n"
			    "pop %r11\npop %r10\npop %r9\npop %r8\npop %rax\npop %rcx\npop %rdx\npop %rsi\npop %rdi\n"
			    "pop %rbp\n.cfi_def_cfa rsp, 8\n.cfi_restore rbp\nret\n"));
#endif

static u64 ticks;

/* It uses no register that the thunk does not save. */
NOINLINE __attribute__((used)) void tick(void)
{
	ticks++;
	BARRIER();
}

NOINLINE u64 conditional(u64 x)
{
	if (x & 1)
		__asm__ volatile(CALL : : : CLOBBERS);
	return x;
}

NOINLINE u64 constrained(u64 x)
{
	if (x & 1)
		__asm__ volatile(CALL : "+r"(stack_pointer) : : CLOBBERS);
	return x;
}

NOINLINE u64 caller(u64 x)
{
	x += conditional(x);
	BARRIER();
	return x + constrained(x | 1);
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 2000 : 16;

	for (u64 round = 0; round < rounds; round++)
		digest = digest * 31 + caller(round);
	lab_check(ticks == rounds / 2 + rounds, "every call was made");
	return digest;
}
