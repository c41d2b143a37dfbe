/* The two other tasks: a kernel thread, and a user program with the system calls it makes. */
#include "kernel.h"

static u64 worked, mixed;

/* Calls far enough for a blocked task to have something on its stack. */
static NOINLINE u64 worker_item(u64 depth)
{
	if (!depth) {
		device_wait();
		return ++worked;
	}
	u64 below = worker_item(depth - 1);
	BARRIER();
	return below + depth;
}

NOINLINE void worker_main(void)
{
	for (u64 depth = 0;; depth = (depth + 1) % 4) {
		worker_item(depth);
		wake_workload();
		block();
	}
}

static NOINLINE u64 sys_mix(u64 argument)
{
	return mixed = mixed * 31 + argument;
}

static NOINLINE u64 sys_wait(void)
{
	block();
	return 0;
}

NOINLINE u64 system_call(u64 number, u64 argument)
{
	switch (number) {
	case SYS_MIX:
		return sys_mix(argument);
	case SYS_WAIT:
		return sys_wait();
	}
	return -38ul;
}

static NOINLINE u64 user_round(u64 value)
{
	value = user_call(SYS_MIX, value);
	BARRIER();
	user_call(SYS_WAIT, 0);
	return value + 1;
}

/* In user mode, on the user stack. */
NOINLINE void user_main(void)
{
	for (u64 value = 1;; value = user_round(value))
		BARRIER();
}

/* Calls of the runtime that go through here (the linker's --wrap) are where the workload now and then waits. */
void workload_waits(void);
static u64 calls;

/* At every fourth call, so that each workload has some waits; seldom once there have been enough. */
static NOINLINE void cond_resched(void)
{
	calls++;
	if (calls % (calls <= 32 ? 4 : 64) == 0)
		workload_waits();
}

#define WRAP(type, name, parameters, arguments)                                                                        \
	type __real_##name parameters;                                                                                 \
	type __wrap_##name parameters                                                                                  \
	{                                                                                                              \
		cond_resched();                                                                                        \
		return __real_##name arguments;                                                                        \
	}

WRAP(u64, lab_mix, (u64 digest, u64 value), (digest, value))
WRAP(u64, lab_mix_bytes, (u64 digest, const void *bytes, u64 size), (digest, bytes, size))
WRAP(u64, lab_mix_text, (u64 digest, const char *text), (digest, text))
WRAP(u64, lab_next, (u64 *state), (state))
WRAP(void, lab_check, (int ok, const char *what), (ok, what))
