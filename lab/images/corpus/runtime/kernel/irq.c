/* What happens in an exception, from the assembly's call to its return.  Interrupts are masked on entry and on exit. */
#include "kernel.h"

u64 lab_irq_source, lab_irq_depth;
static u64 ticks, polls;

/* Stands for the walk; the stop is where it has returned. */
static NOINLINE void arch_stack_walk(void)
{
	BARRIER();
}

NOINLINE void stack_trace_save(void)
{
	arch_stack_walk();
	__asm__ volatile(".globl lab_handler_stop\nlab_handler_stop:\n\tnop" ::: "memory");
}

static NOINLINE void timer_tick(void)
{
	ticks++;
	timer_wakes();
	lab_need_resched = 1;
}

static NOINLINE void device_poll(void)
{
	polls++;
	stack_trace_save();
	BARRIER();
}

/* On the IRQ stack.  The first level lets one more interrupt in, the second none. */
static NOINLINE void irq_handler(struct pt_regs *regs)
{
	u64 source = lab_irq_source;

	(void)regs;
	lab_irq_depth++;
	if (source == SOURCE_TIMER)
		timer_tick();
	if (lab_irq_depth == 1)
		local_irq_enable();
	device_poll();
	local_irq_disable();
	lab_irq_depth--;
}

static void do_interrupt(struct pt_regs *regs)
{
	if (lab_irq_depth)
		irq_handler(regs);
	else
		call_on_irq_stack(regs, irq_handler);
}

/* The advisory flag is set some way into the exit path and cleared some way after the task runs again: between
   those points and the switch itself it says the wrong thing (2021 thread; interrupts are on, preemption is off). */
static NOINLINE void preempt_schedule_irq(void)
{
	struct task *task = lab_current;

	task->preempt_count++;
	task->flags |= TASK_PREEMPTED;
	local_irq_enable();
	schedule();
	local_irq_disable();
	task->flags &= ~TASK_PREEMPTED;
	task->preempt_count--;
}

/* TASK_IN_EXCEPTION is one bit, not a count: the exit of a nested exception clears it for the outer one. */
void el1_irq(struct pt_regs *regs)
{
	struct task *task = lab_current;

	task->flags |= TASK_IN_EXCEPTION;
	do_interrupt(regs);
	if (lab_need_resched && !lab_irq_depth && !task->preempt_count)
		preempt_schedule_irq();
	task->flags &= ~TASK_IN_EXCEPTION;
}

/* A fault in the kernel that is put right: the instruction is tried again. */
void el1_sync(struct pt_regs *regs)
{
	struct task *task = lab_current;

	(void)regs;
	task->flags |= TASK_IN_EXCEPTION;
	stack_trace_save();
	task->flags &= ~TASK_IN_EXCEPTION;
}

static void exit_to_user_mode(void)
{
	while (lab_need_resched) {
		local_irq_enable();
		schedule();
		local_irq_disable();
	}
}

void el0_irq(struct pt_regs *regs)
{
	do_interrupt(regs);
	exit_to_user_mode();
}

void el0_sync(struct pt_regs *regs)
{
	local_irq_enable();
#if defined(__aarch64__)
	regs->syscallno = regs->regs[8];
	regs->regs[0] = system_call(regs->regs[8], regs->regs[0]);
#else
	regs->ax = system_call(regs->orig_ax, regs->di);
#endif
	local_irq_disable();
	exit_to_user_mode();
}
