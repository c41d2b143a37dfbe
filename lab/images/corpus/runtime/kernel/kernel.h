/*
 * The small kernel: what its C and its assembly share.  Shaped after Linux v6.13 (arch/arm64/kernel/entry.S, process.c,
 * arch/x86/entry/entry_64.S, kernel/process.c, kernel/sched/core.c); written for the lab.  See docs/kernel.md.
 */
#ifndef LAB_KERNEL_H
#define LAB_KERNEL_H

#if defined(__aarch64__)
/* struct pt_regs (asm/ptrace.h) and the metadata frame record in it (asm/stacktrace/frame.h). */
#define PT_REGS_SIZE	336
#define S_LR		240
#define S_SP		248
#define S_PC		256
#define S_SYSCALLNO	280
#define S_STACKFRAME	296
#define S_TYPE		312
#define FRAME_META_FINAL	1
#define FRAME_META_PT_REGS	2
/* struct task: cpu_context is x19..x28, fp, sp, pc. */
#define TASK_FP		80
#define TASK_SP		88
#define TASK_PC		96
#define TASK_SSP	104
#else
/* struct pt_regs (asm/ptrace.h); inactive_task_frame (asm/switch_to.h) is r15 r14 r13 r12 rbx rbp and the address. */
#define PT_REGS_SIZE	168
#define SWITCH_FRAME_FP	40
#define SWITCH_FRAME_PC	48
#define SWITCH_FRAME_SIZE	56
#define KERNEL_CS	0x10
#define USER_DS		0x1b
#define USER_CS		0x23
#define TASK_SP		0
#endif
#define TASK_CELL	112	/* __unwindlab_ssp of the task while it does not run (or runs in user mode) */
#define TASK_USER_CELL	120	/* the same of its user half, while in the kernel */
#define TASK_FLAGS	128
#define TASK_REGS	136
#define TASK_TOP	144	/* where the hardware puts SP when it takes an exception from user mode */

#define SYS_MIX		1
#define SYS_WAIT	2

#ifndef __ASSEMBLER__
#include "rt.h"

#define TASK_PREEMPTED		1ul
#define TASK_IN_EXCEPTION	2ul

enum { BLOCKED, RUNNABLE };
enum { STACK_END, STACK_TASK, STACK_IRQ, STACK_USER };
/* What the host says an interrupt is, in lab_irq_source. */
enum { SOURCE_DEVICE, SOURCE_TIMER };

#if defined(__aarch64__)
struct pt_regs {
	u64 regs[31], sp, pc, pstate, orig_x0, syscallno, sdei_ttbr1, stackframe[2], type, lockdep_hardirqs, exit_rcu;
};
struct context {
	u64 x19_x28[10], fp, sp, pc, ssp;
};
#else
struct pt_regs {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
struct context {
	u64 sp, unused[13];
};
#endif

struct task {
	struct context context;
	u64 cell, user_cell, flags;
	struct pt_regs *regs;
	u64 top, state, woken, preempt_count;
};

struct stack_range {
	u64 low, high, shadow_low, shadow_high, kind;
	struct task *owner;
};

extern struct task *lab_current;
extern u64 lab_need_resched, lab_irq_source, lab_irq_depth;

/* entry_*.S */
struct task *cpu_switch_to(struct task *prev, struct task *next);
void call_on_irq_stack(struct pt_regs *regs, void (*handler)(struct pt_regs *));
void ret_from_fork(void);
u64 user_call(u64 number, u64 argument);

/* task.c */
void schedule(void);
void wake_workload(void);
void timer_wakes(void);
void block(void);
void device_wait(void);
/* irq.c */
void stack_trace_save(void);
/* user.c */
void user_main(void);
void worker_main(void);
u64 system_call(u64 number, u64 argument);

/* arch.c */
void task_context(struct task *task, void (*function)(void), u64 shadow);
void task_user_context(struct task *task, void (*function)(void), u64 stack, u64 shadow);

static inline void local_irq_enable(void)
{
#if defined(__aarch64__)
	__asm__ volatile("msr daifclr, #2" ::: "memory");
#else
	__asm__ volatile("sti" ::: "memory");
#endif
}

static inline void local_irq_disable(void)
{
#if defined(__aarch64__)
	__asm__ volatile("msr daifset, #2" ::: "memory");
#else
	__asm__ volatile("cli" ::: "memory");
#endif
}

/* Returns whether interrupts were enabled. */
static inline int local_irq_save(void)
{
	u64 flags;
#if defined(__aarch64__)
	__asm__ volatile("mrs %0, daif\n\tmsr daifset, #2" : "=r"(flags)::"memory");
	return !(flags & 1 << 7);
#else
	__asm__ volatile("pushfq\n\tpop %0\n\tcli" : "=r"(flags)::"memory");
	return flags >> 9 & 1;
#endif
}

static inline void local_irq_restore(int enabled)
{
	if (enabled)
		local_irq_enable();
}
#endif
#endif
