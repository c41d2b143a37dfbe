/* What a new task's saved context and pt_regs hold (copy_thread in both architectures' process.c). */
#include "kernel.h"

#if defined(__aarch64__)

static struct pt_regs *regs_of(struct task *task)
{
	return (struct pt_regs *)task->top - 1;
}

void task_context(struct task *task, void (*function)(void), u64 shadow)
{
	struct pt_regs *regs = task->regs = regs_of(task);

	regs->type = FRAME_META_FINAL;
	task->context.x19_x28[0] = (u64)function;
	task->context.fp = (u64)regs->stackframe;
	task->context.sp = (u64)regs;
	task->context.pc = (u64)ret_from_fork;
	task->context.ssp = shadow;
}

void task_user_context(struct task *task, void (*function)(void), u64 stack, u64 shadow)
{
	task->context.x19_x28[0] = 0;
	task->user_cell = shadow;
	task->regs->regs[18] = shadow;
	task->regs->sp = stack;
	task->regs->pc = (u64)function;
	task->regs->pstate = 0; /* EL0t, nothing masked */
}

#else

/* A kernel task's pt_regs is aligned as a function call wants it; one that runs user code has it where the processor
   pushes it, which aligns SP before five words. */
static void place(struct task *task, u64 regs, void (*function)(void))
{
	u64 *frame = (u64 *)(regs - SWITCH_FRAME_SIZE);

	task->regs = (struct pt_regs *)regs;
	task->context.sp = (u64)frame;
	frame[4] = (u64)function; /* rbx */
	frame[5] = regs + 1;	  /* rbp: the encoded pointer */
	frame[6] = (u64)ret_from_fork;
}

void task_context(struct task *task, void (*function)(void), u64 shadow)
{
	(void)shadow;
	place(task, (task->top - PT_REGS_SIZE) & ~15ul, function);
}

void task_user_context(struct task *task, void (*function)(void), u64 stack, u64 shadow)
{
	place(task, task->top - PT_REGS_SIZE, 0);
	task->user_cell = shadow;
	task->regs->sp = stack - 8; /* as after a call */
	task->regs->ss = USER_DS;
	task->regs->cs = USER_CS;
	task->regs->flags = 1 << 9 | 2; /* IF */
	task->regs->ip = (u64)function;
}

#endif
