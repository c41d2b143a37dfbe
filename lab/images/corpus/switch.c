/*
 * title: Jump tables and computed goto
 * rows: 12 13 16
 * expect: small 0xfd8e8595a0626930 large 0x81d958842b6ead15
 *
 * Indirect jumps that stay inside their function: a small virtual machine once as a switch and once with label
 * addresses.  Both compute the same factorial and gcd programs.
 */
#include "rt.h"

enum { PUSH, ADD, SUB, MUL, MOD, LOAD, STORE, JUMP, IFZERO, HALT };

NOINLINE u64 host_multiply(u64 a, u64 b)
{
	OPAQUE(a);
	return a * b;
}

NOINLINE u64 run_switch(const s64 *code, u64 *cells)
{
	u64 stack[16], *top = stack;

	for (const s64 *at = code;;) {
		switch (*at++) {
		case PUSH: *++top = (u64)*at++; break;
		case ADD: top--; *top += top[1]; break;
		case SUB: top--; *top -= top[1]; break;
		case MUL: top--; *top = host_multiply(*top, top[1]); break;
		case MOD: top--; *top %= top[1]; break;
		case LOAD: *++top = cells[*at++]; break;
		case STORE: cells[*at++] = *top--; break;
		case JUMP: at = code + *at; break;
		case IFZERO: at = *top-- ? at + 1 : code + *at; break;
		case HALT: return *top;
		default: return ~0ul;
		}
	}
}

NOINLINE u64 run_goto(const s64 *code, u64 *cells)
{
	static const void *const labels[] = { &&push, &&add, &&sub, &&mul, &&mod,
					      &&load, &&store, &&jump, &&ifzero, &&halt };
	u64 stack[16], *top = stack;
	const s64 *at = code;

#define NEXT goto *labels[*at++]
	NEXT;
push:	*++top = (u64)*at++; NEXT;
add:	top--; *top += top[1]; NEXT;
sub:	top--; *top -= top[1]; NEXT;
mul:	top--; *top = host_multiply(*top, top[1]); NEXT;
mod:	top--; *top %= top[1]; NEXT;
load:	*++top = cells[*at++]; NEXT;
store:	cells[*at++] = *top--; NEXT;
jump:	at = code + *at; NEXT;
ifzero:	at = *top-- ? at + 1 : code + *at; NEXT;
halt:	return *top;
}

/* cell 0 counts down to 1, cell 1 takes the product */
static const s64 factorial[] = {
	/* 0 */ PUSH, 1, STORE, 1,
	/* 4 */ LOAD, 0, IFZERO, 24, LOAD, 0, LOAD, 1, MUL, STORE, 1, LOAD, 0, PUSH, 1, SUB, STORE, 0, JUMP, 4,
	/* 24 */ LOAD, 1, HALT,
};

/* while b: a, b = b, a mod b */
static const s64 gcd[] = {
	/* 0 */ LOAD, 1, IFZERO, 17,
	/* 4 */ LOAD, 0, LOAD, 1, MOD, LOAD, 1, STORE, 0, STORE, 1, JUMP, 0,
	/* 17 */ LOAD, 0, HALT,
};

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 600 : 1;

	for (u64 round = 0; round < rounds; round++) {
		u64 cells[2] = { 10, 0 }, again[2] = { 10, 0 };
		lab_check(run_switch(factorial, cells) == 3628800, "10! with a switch");
		lab_check(run_goto(factorial, again) == 3628800, "10! with computed goto");
		u64 pair[2] = { 1071 * (round + 1), 462 * (round + 1) }, same[2] = { pair[0], pair[1] };
		u64 found = run_switch(gcd, pair);
		lab_check(found == 21 * (round + 1), "gcd with a switch");
		lab_check(run_goto(gcd, same) == found, "gcd with computed goto");
		digest = lab_mix(digest, found);
	}
	return digest;
}
