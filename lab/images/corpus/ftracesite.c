/*
 * title: A function tracer's call site before the prologue
 * rows: 6 12 38
 * changes-code: yes
 * runtime: kernel
 * fails: fp call at outer; fp boundary at ftrace_caller; guess boundary at ftrace_caller on aarch64
 * refuses: dwarf boundary at ftrace_caller on aarch64; dwarf call at ftrace_caller on aarch64
 * survives: fp call at ftrace_caller; fp-reliable call at ftrace_caller on aarch64; dwarf call at ftrace_caller on x86_64;
 *       orc boundary at ftrace_caller on x86_64; hw-shadow boundary at ftrace_caller
 * expect: small 0xf19ac2178d12720a large 0x96392115cbec581b
 *
 * The NOPs at a function's entry become "mov x9, x30; bl ftrace_caller" (x86-64: "call ftrace_caller") while the program
 * runs.  Until ftrace_caller has made its two frame records, the address that the traced function returns to is in x9
 * alone (x86-64: on the stack, in no frame); afterwards everybody who follows frame pointers has both.
 */
#include "kernel/ftrace.h"
#include "rt.h"

TRACED u64 leaf(u64 x)
{
	OPAQUE(x);
	return x * 7;
}

TRACED u64 outer(u64 x, u64 depth)
{
	u64 found = depth ? outer(x + 1, depth - 1) : leaf(x);

	BARRIER();
	return found * 31 + depth;
}

NOINLINE u64 rounds(u64 count)
{
	u64 digest = 0;

	for (u64 round = 0; round < count; round++)
		digest = digest * 31 + outer(round, round & 1);
	return digest;
}

u64 lab_main(u64 large)
{
	u64 count = large ? 600 : 4, untouched = rounds(count), traced;

	ftrace_enable(TRACE_FUNCTION);
	traced = rounds(count);
	ftrace_enable(TRACE_NOTHING);
	lab_check(traced == untouched, "tracing changes no result");
	lab_check(ftrace_hits > 0, "something was traced");
	return lab_mix(traced, ftrace_hits) ^ rounds(count);
}
