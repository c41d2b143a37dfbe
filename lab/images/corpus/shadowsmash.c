/*
 * title: A corrupted shadow stack
 * rows: 4 12 26
 * fails: scs call at spoil with xray-memory-record; scs boundary at around with xray-memory-record
 * refuses: scs-fp call at spoil with xray-memory-record; scs-lr call at spoil with xray-memory-record
 * survives: dwarf call with xray-memory-record; scs-fp call with xray-memory-record; scs-lr boundary with
 *           xray-memory-record
 * expect: small 0x4ef7d6a2119c97cd large 0xed7e1d39b980e5af
 *
 * Where a design keeps the pointer of a shadow stack in memory, the entry of a caller is overwritten with another
 * address of the program, calls follow, and it is put back.  Elsewhere the program only calls.
 */
#include "rt.h"

static volatile u64 worked;

NOINLINE void work(u64 x)
{
	worked = worked * 5 + x;
}

NOINLINE void around(u64 x)
{
	work(x);
	BARRIER();
}

/* The pointer is the address after the topmost entry; the entry meant is the third from the top. */
NOINLINE void spoil(u64 x)
{
	volatile u64 *top = (volatile u64 *)__unwindlab_ssp, *entry = top ? top - 2 : 0;
	u64 good = 0;

	if (entry) {
		good = *entry;
		*entry = (u64)around;
	}
	BARRIER();
	around(x);
	if (entry)
		*entry = good;
	BARRIER();
}

NOINLINE void below(u64 depth)
{
	if (depth)
		below(depth - 1);
	else
		spoil(depth + 1);
	BARRIER();
	work(depth);
}

u64 lab_main(u64 large)
{
	u64 rounds = large ? 1000 : 6;

	for (u64 round = 0; round < rounds; round++)
		below(round % 4 + 2);
	return lab_mix(LAB_SEED, worked);
}
