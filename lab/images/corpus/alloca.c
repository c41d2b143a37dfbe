/*
 * title: Stacks that move: alloca, variable arrays, realignment
 * rows: 12 17 40
 * fails: fp boundary at variable_array; fp boundary at realigned
 * survives: dwarf boundary; orc boundary on x86_64; fp call
 * expect: small 0x3583fdb1c66d9e20 large 0xd17d798ce68b24ed
 *
 * The stack pointer moves in the body by amounts known only at run time, so that at a call the frame pointer is
 * nowhere near it; one function realigns its frame; one has more than 64 KiB of it.
 */
#include "rt.h"

NOINLINE u64 fill(u8 *bytes, u64 size, u64 seed)
{
	u64 sum = 0;

	for (u64 i = 0; i < size; i++)
		sum += bytes[i] = (u8)(seed + i * 7);
	return sum;
}

NOINLINE u64 variable_array(u64 size, u64 seed)
{
	u8 bytes[size];

	u64 sum = fill(bytes, size, seed);
	OPAQUE(sum);
	return sum + bytes[size / 2];
}

/* A list whose nodes are all in this one frame, each made by another move of the stack pointer. */
struct node {
	struct node *next;
	u64 value;
};

NOINLINE u64 total(const struct node *node)
{
	u64 sum = 0;

	for (; node; node = node->next)
		sum += node->value;
	return sum;
}

NOINLINE u64 growing(u64 count)
{
	struct node *list = 0;

	for (u64 i = 1; i <= count; i++) {
		struct node *node = __builtin_alloca(sizeof *node + i % 3 * 16);
		node->next = list;
		node->value = i;
		list = node;
	}
	return total(list);
}

NOINLINE u64 realigned(u64 seed)
{
	u8 line[128] __attribute__((aligned(128)));

	lab_check(((u64)line & 127) == 0, "alignment");
	return fill(line, 24, seed) + line[3];
}

NOINLINE u64 wide(u64 seed)
{
	u8 bytes[70000];

	u64 sum = fill(bytes + 65536 + seed, 16, seed);
	OPAQUE(sum);
	return sum + bytes[65536 + seed];
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 400 : 3;

	for (u64 round = 1; round <= rounds; round++) {
		u64 count = large ? 200 : 12;
		digest = digest * 31 + variable_array(round % 40 + 20, round);
		lab_check(growing(count) == count * (count + 1) / 2, "the sum of the list");
		digest = digest * 31 + realigned(round);
		digest = digest * 31 + wide(round);
	}
	lab_check(variable_array(1, 5) == 10, "an array of one");
	return digest;
}
