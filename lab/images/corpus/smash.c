/*
 * title: A program that overwrites its own frame record
 * rows: 12 14 26 30
 * fails: fp call at smash_word; fp-reliable call at smash_word on aarch64; sframe-v6 call at smash_own on aarch64;
 *        fp-x86 call at smash_word on x86_64
 * refuses: dwarf call at smash_own; fp-validated call at smash_own on aarch64
 * survives: hw-shadow boundary; fp-x86-reliable call on x86_64; fp-validated call on aarch64
 * expect: small 0x2b93aa6fbf47e785 large 0xe4ce86b645f16272
 *
 * Saved frame pointer and saved return address of the running function and of its callers are overwritten, with
 * calls while they are wrong, and restored before anything returns through them: whole words, single bytes, and
 * misaligned stores across both words.  Every design that believes the stack must be wrong or refuse meanwhile.
 */
#include "rt.h"

/* How frames look on both architectures when frame pointers are kept: {caller's record, return address}. */
struct record {
	u64 fp;
	u64 ra;
};

static volatile u64 worked;

NOINLINE void work(u64 x)
{
	for (u64 i = 0; i < 3; i++)
		worked = worked * 5 + x;
}

NOINLINE void smash_word(volatile u64 *word, u64 bad)
{
	u64 good = *word;

	*word = bad;
	work(1);
	*word = good;
	work(2);
}

NOINLINE void smash_byte(volatile u8 *byte)
{
	*byte ^= 0x10;
	work(3);
	*byte ^= 0x10;
	work(4);
}

/* Eight bytes at an odd address: the end of the saved frame pointer and the start of the return address. */
NOINLINE void smash_across(u8 *record)
{
	u64 good, bad = 0x1111111111111111;

	__builtin_memcpy(&good, record + 5, 8);
	__builtin_memcpy(record + 5, &bad, 8);
	BARRIER();
	work(5);
	__builtin_memcpy(record + 5, &good, 8);
	BARRIER();
	work(6);
}

/* Its own record, from inside: the stores are in the function that will return through it. */
NOINLINE u64 smash_own(u64 bad)
{
	volatile struct record *own = __builtin_frame_address(0);
	u64 fp = own->fp, ra = own->ra;

	own->ra = bad;
	work(7);
	own->fp = bad;
	work(8);
	own->fp = fp;
	work(9);
	own->ra = ra;
	work(10);
	return own->ra == ra && own->fp == fp;
}

/* up = 0 is smash's own record, 1 its caller's, and so on. */
NOINLINE void smash(u64 up)
{
	struct record *record = __builtin_frame_address(0);

	for (; up; up--)
		record = (struct record *)record->fp;
	smash_word(&record->ra, 0x1234);
	smash_word(&record->fp, (u64)record);
	smash_byte((u8 *)&record->ra + 1);
	smash_across((u8 *)record);
}

NOINLINE void below(u64 depth, u64 up)
{
	if (!depth)
		smash(up);
	else
		below(depth - 1, up);
	BARRIER();
	work(depth);
}

u64 lab_main(u64 large)
{
	u64 rounds = large ? 300 : 1, depth = large ? 10 : 4, ups = large ? 9 : 4;

	for (u64 round = 0; round < rounds; round++) {
		for (u64 up = 0; up < ups; up++)
			below(depth, up);
		lab_check(smash_own(0x5678 + round) == 1, "restored");
	}
	return lab_mix(LAB_SEED, worked);
}
