/*
 * title: Calls from inline assembly
 * rows: 12 14 15
 * fails: fp call at counted on aarch64; fp-reliable call at sometimes on aarch64; fp call at unannounced on x86_64
 *        with base-omit-leaf
 * refuses: fp-validated call at sometimes on aarch64
 * survives: dwarf boundary on aarch64; dwarf call; hw-shadow boundary; fp call at framed
 * expect: small 0x6b0a19c7ad9da3fe large 0x207fca5a7a1291e6
 *
 * The compiler does not know that the assembly calls.  On AArch64 clang saves x30, because it is clobbered, but makes
 * no frame record: a frame-pointer walk from the callee loses the caller.  The stack pointer as an operand (the x86
 * kernel's ASM_CALL_CONSTRAINT) does not change that in clang; taking the frame's address does.
 */
#include "rt.h"

#if defined(__aarch64__)
register u64 stack_pointer __asm__("sp");
#define CALL "bl counted"
#define CLOBBERS "memory", "cc", "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", \
		 "x13", "x14", "x15", "x16", "x17", "x18", "x30"
#else
register u64 stack_pointer __asm__("rsp");
#define CALL "call counted"
#define CLOBBERS "memory", "cc", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"
#endif

static u64 calls;

NOINLINE void tick(void)
{
	calls++;
	BARRIER();
}

NOINLINE __attribute__((used)) void counted(void)
{
	tick();
	BARRIER();
}

NOINLINE u64 unannounced(u64 x)
{
	OPAQUE(x);
	__asm__ volatile(CALL ::: CLOBBERS);
	return x + 1;
}

NOINLINE u64 constrained(u64 x)
{
	OPAQUE(x);
	__asm__ volatile(CALL : "+r"(stack_pointer) : : CLOBBERS);
	return x + 1;
}

NOINLINE u64 framed(u64 x)
{
	void *frame = __builtin_frame_address(0);

	OPAQUE(x);
	OPAQUE(frame);
	__asm__ volatile(CALL ::: CLOBBERS);
	return x + 1;
}

/* Only on one path, and before any ordinary call. */
NOINLINE u64 sometimes(u64 x)
{
	if (x & 1)
		__asm__ volatile(CALL ::: CLOBBERS);
	return x * 3;
}

u64 lab_main(u64 large)
{
	u64 x = 1, rounds = large ? 50000 : 30, expected = 0;

	for (u64 round = 0; round < rounds; round++) {
		x = unannounced(x);
		x = constrained(x);
		x = framed(x);
		expected += 3 + (x & 1);
		x = sometimes(x);
	}
	lab_check(calls == expected, "every call was made");
	return lab_mix(LAB_SEED, x);
}
