/*
 * title: Return addresses replaced by the function-graph tracer
 * rows: 6 12 37
 * changes-code: yes
 * runtime: kernel
 * fails: fp call at untraced; fp-reliable call at untraced on aarch64; fp+graph+kretprobe call at return_to_handler;
 *       fp-reliable+graph+kretprobe call at return_to_handler on aarch64
 * refuses: dwarf call at untraced; dwarf boundary at return_to_handler; orc+graph+kretprobe call at return_to_handler on x86_64
 * survives: fp+graph+kretprobe call at untraced; orc+graph+kretprobe call at untraced on x86_64;
 *       fp-reliable+graph+kretprobe call at untraced on aarch64; orc+graph+kretprobe boundary at work on x86_64
 * expect: small 0x7970cc92837d34a4 large 0xa8987d060f684bce
 *
 * The NOPs at the entry of each TRACED function become a call of ftrace_caller while the program runs.  The tracer
 * replaces the return address by return_to_handler's and keeps the true one on the task's return stack.
 */
#include "kernel/ftrace.h"
#include "rt.h"

NOINLINE u64 work(u64 x)
{
	OPAQUE(x);
	return x * 0x5851f42d4c957f2dul + (x >> 33);
}

NOINLINE u64 untraced(u64 x)
{
	u64 once = work(x);

	BARRIER();
	return once ^ work(once);
}

TRACED u64 bare(u64 x)
{
	OPAQUE(x);
	return x * 7;
}

TRACED u64 inner(u64 x)
{
	u64 found = untraced(x) + bare(x);

	BARRIER();
	return found;
}

TRACED u64 outer(u64 x, u64 depth)
{
	u64 found = depth ? outer(x + 1, depth - 1) : inner(x);

	BARRIER();
	return found * 31 + depth;
}

NOINLINE u64 rounds(u64 count)
{
	u64 digest = 0;

	for (u64 round = 0; round < count; round++)
		digest = digest * 31 + outer(round, round & 3);
	return digest;
}

u64 lab_main(u64 large)
{
	u64 count = large ? 300 : 4, untouched = rounds(count), traced;

	ftrace_enable(TRACE_GRAPH);
	traced = rounds(count);
	ftrace_enable(TRACE_NOTHING);
	lab_check(traced == untouched, "tracing changes no result");
	lab_check(ftrace_hits > 0, "something was traced");
	return lab_mix(traced, ftrace_hits) ^ rounds(count);
}
