/*
 * title: A chain of frame records that is cut, or runs in a circle
 * rows: 12 14 45
 * fails: fp call at cut; fp call at closed; fp call at looped; sframe-v6 call at cut on aarch64; fp-x86 call at
 *        looped on x86_64
 * refuses: fp-reliable call at cut on aarch64; fp-reliable call at looped on aarch64; fp-x86-reliable call at
 *          looped on x86_64; dwarf call at closed
 * survives: dwarf boundary; hw-shadow boundary; fp-reliable call on aarch64; fp-x86-reliable call on x86_64
 * expect: small 0x38cbdf33c4f671b6 large 0x178f1d59e72f872a
 *
 * A function overwrites the frame pointer saved by a caller and calls on: with 0, so that the chain ends early; with the
 * record's own address; and with that of a record further in, so that it never ends.  A walk that stops without a word
 * reports a short trace as if it were whole.  Everything is put back before anything returns.
 */
#include "rt.h"

struct record {
	struct record *fp;
	u64 ra;
};

static volatile u64 worked;

NOINLINE void work(u64 x)
{
	worked = worked * 5 + x;
}

NOINLINE void cut(struct record *caller)
{
	struct record *good = caller->fp;

	caller->fp = 0;
	BARRIER();
	work(1);
	caller->fp = good;
	BARRIER();
}

NOINLINE void closed(struct record *caller)
{
	struct record *good = caller->fp;

	caller->fp = caller;
	BARRIER();
	work(2);
	caller->fp = good;
	BARRIER();
}

NOINLINE void looped(struct record *caller)
{
	struct record *own = __builtin_frame_address(0), *good = caller->fp;

	caller->fp = own;
	BARRIER();
	work(3);
	caller->fp = good;
	BARRIER();
}

NOINLINE void below(u64 depth)
{
	struct record *own = __builtin_frame_address(0);

	if (depth) {
		below(depth - 1);
	} else {
		cut(own->fp);
		closed(own->fp);
		looped(own->fp);
	}
	BARRIER();
	work(depth);
}

u64 lab_main(u64 large)
{
	u64 rounds = large ? 500 : 6;

	for (u64 round = 0; round < rounds; round++)
		below(round % 4 + 2);
	return lab_mix(LAB_SEED, worked);
}
