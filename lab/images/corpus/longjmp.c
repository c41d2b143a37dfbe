/*
 * title: setjmp and longjmp
 * rows: 12 13 18 25
 * expect: small 0x50e3522831538b91 large 0x6226baf398f0f468
 *
 * Errors thrown from varying depths to handlers at varying depths, handlers that throw on, and many throws to one
 * place: every longjmp leaves functions without executing their exits.
 */
#include "setjmp.h"

#include "rt.h"

struct handler {
	jmp_buf buffer;
	struct handler *outer;
};

static struct handler *innermost;

_Noreturn NOINLINE void throw(int code)
{
	longjmp(innermost->buffer, code);
}

NOINLINE u64 descend(u64 depth, int code)
{
	if (!depth)
		throw(code);
	u64 below = descend(depth - 1, code);
	BARRIER();
	return below + depth;
}

NOINLINE int attempt(u64 depth, int code)
{
	struct handler handler;
	handler.outer = innermost;
	innermost = &handler;

	int caught = setjmp(handler.buffer);
	if (!caught)
		descend(depth, code);
	innermost = handler.outer;
	return caught;
}

/* Catches, undoes one level, and throws on, until the level is used up. */
NOINLINE int nested(u64 levels)
{
	struct handler handler;
	handler.outer = innermost;
	innermost = &handler;

	int caught = setjmp(handler.buffer);
	if (!caught) {
		if (levels)
			nested(levels - 1);
		else
			descend(3, 1);
	}
	innermost = handler.outer;
	if (caught && innermost)
		throw(caught + 1);
	return caught;
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 2000 : 6, most = large ? 200 : 12;

	for (u64 round = 1; round <= rounds; round++) {
		u64 depth = round * 7 % most;
		int caught = attempt(depth, (int)round + 1);
		lab_check(caught == (int)round + 1, "the thrown code");
		digest = lab_mix(digest, (u64)caught + depth);
	}
	for (u64 levels = 0; levels < (large ? 200u : 4u); levels++)
		lab_check(nested(levels) == (int)levels + 1, "every level catches once");
	lab_check(!innermost, "all handlers are gone");
	jmp_buf zero;
	volatile int passes = 0;
	int got = setjmp(zero);
	if (passes++ == 0)
		longjmp(zero, 0);
	lab_check(got == 1 && passes == 2, "longjmp(0) returns 1");
	return digest;
}
