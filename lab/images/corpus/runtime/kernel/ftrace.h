/*
 * Function tracing, for workloads that include this file: patchable call sites, the function-graph tracer, kretprobes.
 * Shaped after Linux v6.13 (arch/arm64/kernel/ftrace.c, entry-ftrace.S, probes/kprobes_trampoline.S,
 * arch/x86/kernel/ftrace_64.S, rethook.c, kernel/trace/fgraph.c, kernel/kprobes.c); written for the lab.
 */
#ifndef LAB_FTRACE_H
#define LAB_FTRACE_H

/* What a tracer is told of its call site.  arm64: regs are x0 to x8. */
#if defined(__aarch64__)
#define FREGS_FP	80
#define FREGS_LR	88
#define FREGS_SP	96
#define FREGS_PC	104
#define FREGS_SIZE	112
#else
#define FREGS_FP	56
#define FREGS_SP	64
#define FREGS_PC	72
#define FREGS_SIZE	88
#endif

#ifndef __ASSEMBLER__
#include "kernel.h"

/* A function that can be traced: NOPs at its entry, its address in the list of sites, in text that can be written. */
#if defined(__aarch64__)
#define TRACED __attribute__((noinline, section("traced"), patchable_function_entry(2)))
struct ftrace_regs {
	u64 regs[9], unused, fp, lr, sp, pc;
};
#else
#define TRACED __attribute__((noinline, section("traced"), patchable_function_entry(5)))
struct ftrace_regs {
	u64 ax, cx, dx, si, di, r8, r9, bp, sp, ip, unused;
};
#endif

#define RETURN_STACK_DEPTH 32
#define INSTANCES 16

/* One function whose return address has been replaced: by what it was, and of which frame (retp: on arm64 the caller's
   frame pointer, on x86-64 the address of the return address). */
struct ftrace_ret_stack {
	u64 ret, func, retp;
};

struct kretprobe_instance {
	struct kretprobe_instance *next;
	u64 ret_addr, frame;
};

/* Of one task.  The host and the unwinders know this layout (lab/unwind/rules/graph.py). */
struct task_trace {
	u64 curr_ret_stack;
	struct kretprobe_instance *instances;
	struct ftrace_ret_stack ret_stack[RETURN_STACK_DEPTH];
	struct kretprobe_instance pool[INSTANCES];
	u64 used;
};

extern u64 ftrace_hits;

/* What the sites do from now on. */
enum { TRACE_NOTHING, TRACE_FUNCTION, TRACE_GRAPH, TRACE_KRETPROBE };
void ftrace_enable(int tracer);
/* One site only, where its function is. */
void ftrace_make_call(u64 site);
void ftrace_make_nop(u64 site);

/* ftrace_*.S */
void ftrace_caller(void);
void return_to_handler(void);
void lab_kretprobe_trampoline(void);
#endif
#endif
