/*
 * title: Hand-written routines, with and without unwind information
 * rows: 12 18 29 44
 * fails: fp boundary at length_bare; fp boundary at length_odd
 * refuses: dwarf boundary at length_bare; sframe boundary at length_bare; sframe-v6 boundary at length_bare on
 *          aarch64
 * survives: dwarf boundary at length_cfi
 * expect: small 0x25d8d0e3926228b5 large 0x2cbe322e40b49125
 *
 * A string routine in assembly with CFI, the same without, and one that returns through another register than the
 * link register (AArch64) or by pop and jump (x86-64).
 */
#include "rt.h"

u64 length_cfi(const char *text);
u64 length_bare(const char *text);
u64 length_odd(const char *text);

#if defined(__aarch64__)
#define BODY "mov x1, x0\n1: ldrb w2, [x1], #1\ncbnz w2, 1b\nsub x0, x1, x0\nsub x0, x0, #1\n"
#define LEAVE "ret\n"
#define ODD_ENTER "mov x15, x30\n.cfi_register x30, x15\nmov x30, xzr\n"
#define ODD_LEAVE "ret x15\n"
#define TYPE "%function"
#else
#define BODY "mov %rdi, %rax\n1: cmpb $0, (%rax)\nlea 1(%rax), %rax\njne 1b\nsub %rdi, %rax\ndec %rax\n"
#define LEAVE "ret\n"
#define ODD_ENTER "pop %rcx\n.cfi_adjust_cfa_offset -8\n.cfi_register rip, rcx\n"
#define ODD_LEAVE "jmp *%rcx\n"
#define TYPE "@function"
#endif

#define ROUTINE(name, cfi_start, body, cfi_end)                                                      \
	__asm__(".text\n.globl " #name "\n.type " #name ", " TYPE "\n.p2align 4\n" #name ":\n" cfi_start \
		body cfi_end ".size " #name ", . - " #name "\n")

ROUTINE(length_cfi, ".cfi_startproc\n", BODY LEAVE, ".cfi_endproc\n");
ROUTINE(length_bare, "", BODY LEAVE, "");
ROUTINE(length_odd, ".cfi_startproc\n", ODD_ENTER BODY ODD_LEAVE, ".cfi_endproc\n");

NOINLINE u64 lengths(const char *text)
{
	u64 with = length_cfi(text), without = length_bare(text), odd = length_odd(text);

	lab_check(with == without && with == odd, "three routines agree");
	return with;
}

u64 lab_main(u64 large)
{
	static char text[256];
	u64 digest = LAB_SEED, rounds = large ? 60 : 1, most = large ? 255 : 24;

	for (u64 round = 0; round < rounds; round++)
		for (u64 size = 0; size <= most; size += 8) {
			for (u64 i = 0; i < size; i++)
				text[i] = (char)('a' + (i + round) % 26);
			text[size] = 0;
			lab_check(lengths(text) == size, "the length");
			digest = digest * 31 + size;
		}
	return digest;
}
