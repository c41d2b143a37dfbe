/*
 * title: A hash table that grows
 * rows: 12 13
 * musl: search/hsearch.c
 * expect: small 0x6db21f287490d86b large 0x18c8e2048031a9dd
 *
 * musl's hsearch: open addressing, resizing.
 */
#define _GNU_SOURCE
#include <search.h>

#include "rt.h"

static char names[1500][8];

static void name(char *text, u64 number)
{
	for (int i = 6; i >= 0; i--, number /= 26)
		text[i] = (char)('a' + number % 26);
	text[7] = 0;
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, count = large ? COUNT(names) : 12, rounds = large ? 4 : 1;

	lab_check(hcreate(4), "a table");
	for (u64 i = 0; i < count; i++) {
		name(names[i], i * 7919);
		ENTRY *entered = hsearch((ENTRY){ names[i], (void *)(i + 1) }, ENTER);
		lab_check(entered && entered->data == (void *)(i + 1), "a new key");
	}
	for (u64 round = 0; round < rounds; round++)
		for (u64 i = 0; i < count; i++) {
			char key[8];
			name(key, i * 7919);
			ENTRY *found = hsearch((ENTRY){ key, 0 }, FIND);
			lab_check(found && found->key == names[i], "a known key");
			digest = digest * 31 + (u64)found->data;
			name(key, i * 7919 + 1);
			lab_check(!hsearch((ENTRY){ key, 0 }, FIND), "an unknown key");
		}
	hdestroy();
	return digest;
}
