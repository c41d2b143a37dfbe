/* Functions written in assembly, and calls from inline assembly, for both architectures. */
#ifndef LAB_ASM_H
#define LAB_ASM_H

#if defined(__aarch64__)
#define LAB_TYPE "%function"
#else
#define LAB_TYPE "@function"
#endif

/* A function with symbol and size; its unwind information is what body says. */
#define LAB_FUNCTION(name, body) __asm__(".text\n.p2align 4\n" LAB_BEHIND(name, body))
/* The same as text, without alignment: where it must lie directly behind another. */
#define LAB_BEHIND(name, body) \
	".globl " #name "\n.type " #name ", " LAB_TYPE "\n" #name ":\n" body ".size " #name ", . - " #name "\n"
#define LAB_CFI(body) ".cfi_startproc\n" body ".cfi_endproc\n"

/* What a call may change, without the registers that hold operands here: x20 and r12 are free for them. */
#if defined(__aarch64__)
#define LAB_CALL_CLOBBERS                                                                                  \
	"memory", "cc", "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", \
		"x14", "x15", "x16", "x17", "x30"
#else
#define LAB_CALL_CLOBBERS "memory", "cc", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"
#endif

#endif
