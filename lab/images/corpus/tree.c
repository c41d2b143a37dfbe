/*
 * title: A balanced tree with callbacks
 * rows: 12 13 25
 * musl: search/tsearch.c search/tdelete.c search/tfind.c search/twalk.c
 * expect: small 0xab9b040f3d66bf81 large 0x6edf7d3b2811a925
 *
 * musl's tsearch family: AVL rebalancing, a comparison through a pointer at every node, a recursive walk.
 */
#define _GNU_SOURCE
#include <search.h>

#include "rt.h"

static u64 keys[2000];
static u64 last, visited;

NOINLINE static int compare(const void *left, const void *right)
{
	u64 l = *(const u64 *)left, r = *(const u64 *)right;

	return l < r ? -1 : l > r;
}

NOINLINE static void visit(const void *node, VISIT order, int level)
{
	(void)level;
	if (order != postorder && order != leaf)
		return;
	u64 key = **(u64 *const *)node;
	lab_check(key > last || !visited, "keys come in order");
	last = key;
	visited++;
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, count = large ? COUNT(keys) : 20;
	void *root = 0;

	/* An odd multiplier modulo a power of two: all different. */
	for (u64 i = 0; i < count; i++) {
		keys[i] = i * 2654435761ul & 0xffff;
		u64 **node = tsearch(&keys[i], &root, compare);
		lab_check(node && *node == &keys[i], "a new key is entered");
	}
	u64 same = keys[count / 2];
	lab_check(**(u64 **)tsearch(&same, &root, compare) == same, "a known key is found");
	twalk(root, visit);
	lab_check(visited == count, "the walk meets every key");
	for (u64 i = 0; i < count; i += 2) {
		lab_check(tdelete(&keys[i], &root, compare) != 0, "a key is deleted");
		digest = lab_mix(digest, last);
	}
	visited = 0;
	twalk(root, visit);
	lab_check(visited == count / 2, "half of the keys is left");
	for (u64 i = 0; i < count; i++)
		lab_check(!tfind(&keys[i], &root, compare) == !(i & 1), "odd ones are there, even ones are not");
	return digest;
}
