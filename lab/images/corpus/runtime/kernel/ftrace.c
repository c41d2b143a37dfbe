/* Function tracing: what the call sites' trampolines call, and the patching of the sites. */
#include "ftrace.h"

/* By the number of the task's stack in lab_stacks: struct task is what it is without tracing. */
#define MOST_STACKS 8
struct task_trace lab_task_trace[MOST_STACKS];
const u64 lab_task_trace_size = sizeof(struct task_trace);

extern const struct stack_range lab_stacks[];
extern u64 __start___patchable_function_entries[], __stop___patchable_function_entries[];
extern u8 __start_traced[], __stop_traced[];

u64 ftrace_hits;
static int current_tracer;

static struct task_trace *current_trace(void)
{
	u64 at = 0;

	while (lab_stacks[at].kind != STACK_TASK || lab_stacks[at].owner != lab_current)
		at++;
	return &lab_task_trace[at];
}

/* The room is taken before it is filled: an interrupt between them may trace and must not take the same. */
static NOINLINE int ftrace_push_return_trace(u64 ret, u64 func, u64 retp)
{
	struct task_trace *trace = current_trace();
	u64 index = trace->curr_ret_stack;

	if (index == RETURN_STACK_DEPTH)
		return 0;
	trace->ret_stack[index].ret = 0;
	BARRIER();
	trace->curr_ret_stack = index + 1;
	BARRIER();
	trace->ret_stack[index] = (struct ftrace_ret_stack){ ret, func, retp };
	BARRIER();
	return 1;
}

/* Called by return_to_handler; returns where the function would have returned to. */
NOINLINE u64 ftrace_return_to_handler(struct ftrace_regs *fregs)
{
	struct task_trace *trace = current_trace();
	u64 index = trace->curr_ret_stack - 1, ret = trace->ret_stack[index].ret;

	(void)fregs;
	ftrace_hits++;
	BARRIER();
	trace->curr_ret_stack = index;
	return ret;
}

static NOINLINE int rethook_hook(u64 ret, u64 frame)
{
	struct task_trace *trace = current_trace();
	struct kretprobe_instance *instance = &trace->pool[trace->used];

	if (trace->used == INSTANCES)
		return 0;
	trace->used++;
	*instance = (struct kretprobe_instance){ trace->instances, ret, frame };
	BARRIER();
	trace->instances = instance;
	return 1;
}

/* Called by the kretprobe trampoline.  The instance goes after the handler has run, as in Linux. */
NOINLINE u64 trampoline_probe_handler(struct pt_regs *regs)
{
	struct task_trace *trace = current_trace();
	struct kretprobe_instance *instance = trace->instances;
	u64 ret = instance->ret_addr;

	(void)regs;
	stack_trace_save();
	ftrace_hits++;
	trace->instances = instance->next;
	trace->used--;
	return ret;
}

/* Where the site's return address is, and of which frame. */
#if defined(__aarch64__)
#define PARENT(fregs) (&(fregs)->lr)
#define FRAME_OF(fregs) ((fregs)->fp)
#else
#define PARENT(fregs) ((u64 *)(fregs)->sp)
#define FRAME_OF(fregs) ((fregs)->sp)
#endif

/* Called by ftrace_caller: ip is the call's own address. */
NOINLINE void ftrace_func(u64 ip, struct ftrace_regs *fregs)
{
	u64 *parent = PARENT(fregs);

	ftrace_hits++;
	if (current_tracer == TRACE_GRAPH) {
		if (ftrace_push_return_trace(*parent, ip, FRAME_OF(fregs)))
			*parent = (u64)return_to_handler;
	} else if (current_tracer == TRACE_KRETPROBE) {
		if (rethook_hook(*parent, FRAME_OF(fregs)))
			*parent = (u64)lab_kretprobe_trampoline;
	}
	BARRIER();
}

#if defined(__aarch64__)
#define MOV_X9_LR	0xaa1e03e9u
#define NOP		0xd503201fu
#define BL		0x94000000u

void ftrace_make_call(u64 site)
{
	volatile u32 *at = (u32 *)site;

	at[0] = MOV_X9_LR;
	at[1] = BL | (((u64)ftrace_caller - (site + 4)) >> 2 & 0x3ffffff);
	__asm__ volatile("isb" ::: "memory");
}

/* The first instruction stays, as in Linux: x9 is free. */
void ftrace_make_nop(u64 site)
{
	((volatile u32 *)site)[1] = NOP;
	__asm__ volatile("isb" ::: "memory");
}
#else
static void text_poke(u64 site, u8 opcode, u32 rest)
{
	int enabled = local_irq_save();

	*(volatile u8 *)site = opcode;
	*(volatile u32 *)(site + 1) = rest;
	local_irq_restore(enabled);
}

void ftrace_make_call(u64 site)
{
	text_poke(site, 0xe8, (u64)ftrace_caller - (site + 5));
}

void ftrace_make_nop(u64 site)
{
	text_poke(site, 0x0f, 0x0000441f);
}
#endif

/* All sites of functions that are TRACED (a compiler flag may have made more, in text that is not written). */
void ftrace_enable(int tracer)
{
	current_tracer = tracer;
	for (u64 *site = __start___patchable_function_entries; site < __stop___patchable_function_entries; site++)
		if (*site >= (u64)__start_traced && *site < (u64)__stop_traced) {
			if (tracer)
				ftrace_make_call(*site);
			else
				ftrace_make_nop(*site);
		}
}
