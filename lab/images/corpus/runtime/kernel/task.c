/* Tasks, stacks and the scheduler: round robin over four tasks on one processor. */
#include "kernel.h"

/* The text of the kernel runtime is [lab_kernel_text, lab_kernel_text_end); the end is in entry_*.S, linked last. */
__asm__(".text\n\t.globl lab_kernel_text\nlab_kernel_text:\n");

#define GAP 512

/* A stack with an unused gap on both sides, and its shadow stack. */
#define STACK(name, size, shadow_size)                                                                                 \
	static struct {                                                                                                \
		u8 below[GAP], stack[size], above[GAP], shadow[shadow_size], after[GAP];                               \
	} name __attribute__((aligned(16)))
#define HIGH(array) ((u64)(array) + sizeof(array))
#define RANGE(name, kind, owner)                                                                                       \
	{                                                                                                              \
		(u64)(name).stack, (u64)(name).above, (u64)(name).shadow, (u64)(name).after, kind, owner               \
	}

STACK(boot_stack, 8 << 10, 4 << 10);
STACK(workload_stack, 512 << 10, 128 << 10);
STACK(worker_stack, 16 << 10, 4 << 10);
STACK(user_task_stack, 16 << 10, 4 << 10);
STACK(irq_stack, 16 << 10, 4 << 10);
STACK(user_stack, 8 << 10, 4 << 10);

enum { IDLE, WORKLOAD, WORKER, USER, TASKS };
static struct task tasks[TASKS];

const struct stack_range lab_stacks[] = {
	RANGE(boot_stack, STACK_TASK, &tasks[IDLE]),
	RANGE(workload_stack, STACK_TASK, &tasks[WORKLOAD]),
	RANGE(worker_stack, STACK_TASK, &tasks[WORKER]),
	RANGE(user_task_stack, STACK_TASK, &tasks[USER]),
	RANGE(irq_stack, STACK_IRQ, 0),
	RANGE(user_stack, STACK_USER, &tasks[USER]),
	{ 0 },
};

/* For the assembly. */
const u64 lab_boot_stack_top = (u64)boot_stack.above, lab_boot_shadow = (u64)boot_stack.shadow;
const u64 lab_irq_stack_top = (u64)irq_stack.above, lab_irq_shadow = (u64)irq_stack.shadow;

#define AT(field) __builtin_offsetof(struct task, field)
#if defined(__aarch64__)
const u64 lab_task_layout[] = { AT(context.fp), AT(context.sp), AT(context.pc), AT(context.ssp), AT(flags), AT(regs),
				AT(cell) };
_Static_assert(AT(context.fp) == TASK_FP && AT(context.sp) == TASK_SP && AT(context.pc) == TASK_PC, "entry_aarch64.S");
_Static_assert(AT(context.ssp) == TASK_SSP, "entry_aarch64.S");
#else
/* fp and pc lie on the stack, where lab_switch_frame says; the first and third entry are not offsets here. */
const u64 lab_task_layout[] = { 0, AT(context.sp), 0, AT(cell), AT(flags), AT(regs), AT(cell) };
const u64 lab_switch_frame[] = { SWITCH_FRAME_FP, SWITCH_FRAME_PC };
_Static_assert(AT(context.sp) == TASK_SP, "entry_x86_64.S");
#endif
_Static_assert(AT(cell) == TASK_CELL && AT(user_cell) == TASK_USER_CELL && AT(flags) == TASK_FLAGS, "entry_*.S");
_Static_assert(AT(regs) == TASK_REGS && AT(top) == TASK_TOP, "entry_*.S");
_Static_assert(sizeof(struct pt_regs) == PT_REGS_SIZE, "entry_*.S");

struct task *lab_current = &tasks[IDLE];
u64 lab_need_resched;
static volatile int finished;
static volatile u64 device_busy;

static struct task *pick(struct task *prev)
{
	u64 from = prev - tasks;

	for (u64 i = 1; i <= TASKS; i++) {
		u64 at = (from + i) % TASKS;
		if (at != IDLE && tasks[at].state == RUNNABLE)
			return &tasks[at];
	}
	return &tasks[IDLE];
}

NOINLINE void schedule(void)
{
	int enabled = local_irq_save();
	struct task *prev = lab_current, *next = pick(prev);

	lab_need_resched = 0;
	if (next != prev)
		cpu_switch_to(prev, next);
	local_irq_restore(enabled);
}

/* The first thing a new task does. */
NOINLINE void schedule_tail(void)
{
	local_irq_enable();
}

/* Wait until somebody wakes this task; at once if somebody has since it last waited.  Who waits for something in
   particular looks whether that is there. */
NOINLINE void block(void)
{
	int enabled = local_irq_save();

	if (!lab_current->woken) {
		lab_current->state = BLOCKED;
		schedule();
	}
	lab_current->woken = 0;
	local_irq_restore(enabled);
}

static void wake(u64 task)
{
	int enabled = local_irq_save();

	tasks[task].state = RUNNABLE;
	tasks[task].woken = 1;
	local_irq_restore(enabled);
}

void wake_workload(void)
{
	wake(WORKLOAD);
}

/* A tick gives the processor to somebody else, so there has to be somebody. */
void timer_wakes(void)
{
	wake(WORKER);
	wake(USER);
}

/* Only the idle task makes the device come to an end. */
NOINLINE void device_wait(void)
{
	device_busy = 3;
	do
		block();
	while (device_busy);
}

/* The workload's voluntary switch: now and then a call of the runtime waits for the worker. */
NOINLINE void workload_waits(void)
{
	wake(WORKER);
	wake(USER);
	block();
}

static void workload_main(void)
{
	u64 lab_start(void);

	lab_start();
	finished = 1;
	for (;;)
		block();
}

static void create(u64 task, u64 stack, void (*function)(void), u64 state)
{
	const struct stack_range *range = &lab_stacks[stack];

	tasks[task].top = range->high;
	tasks[task].state = state;
	tasks[task].cell = range->shadow_low;
	task_context(&tasks[task], function, range->shadow_low);
}

/* The idle task polls: nothing the emulator runs waits for an interrupt. */
static NOINLINE void idle(void)
{
	while (!finished) {
		if (device_busy && !--device_busy)
			wake(WORKER);
		schedule();
	}
}

/* On the boot task's stack, with interrupts masked; returns the exit status. */
u64 start_kernel(struct pt_regs *regs)
{
	tasks[IDLE].regs = regs;
	tasks[IDLE].top = lab_boot_stack_top;
	create(WORKLOAD, WORKLOAD, workload_main, RUNNABLE);
	create(WORKER, WORKER, worker_main, BLOCKED);
	create(USER, USER, user_main, BLOCKED);
	task_user_context(&tasks[USER], user_main, (u64)user_stack.above, (u64)user_stack.shadow);
	local_irq_enable();
	idle();
	local_irq_disable();
	return 0;
}
