/*
 * title: Version strings sorted by a callback
 * rows: 12 13 19
 * musl: string/strverscmp.c
 * expect: small 0x725e191a3ba6c7e7 large 0xb161879f59a0deb3
 *
 * musl's strverscmp called from a sort through a function pointer; the order is the one its manual page gives.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "rt.h"

static const char *const ordered[] = { "000", "00", "01", "010", "09", "0", "1", "9", "10" };
static const char *const releases[] = { "jan1", "jan2", "jan9", "jan10", "jan11", "linux-6.1.9", "linux-6.1.10", "linux-6.13" };

NOINLINE static int compare(const void *left, const void *right)
{
	return strverscmp(*(const char *const *)left, *(const char *const *)right);
}

static u64 sorted(const char *const *names, u64 count, u64 seed)
{
	const char *mixed[9];
	u64 digest = LAB_SEED;

	for (u64 i = 0; i < count; i++)
		mixed[i] = names[i];
	for (u64 i = count - 1; i; i--) {
		u64 other = lab_next(&seed) % (i + 1);
		const char *name = mixed[i];
		mixed[i] = mixed[other];
		mixed[other] = name;
	}
	digest = lab_mix_text(digest, mixed[0]);
	qsort(mixed, count, sizeof *mixed, compare);
	for (u64 i = 0; i < count; i++)
		lab_check(mixed[i] == names[i], names[i]);
	return digest;
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 800 : 2;

	for (u64 round = 0; round < rounds; round++) {
		digest = lab_mix(digest, sorted(ordered, COUNT(ordered), round));
		digest = lab_mix(digest, sorted(releases, COUNT(releases), round));
	}
	return digest;
}
