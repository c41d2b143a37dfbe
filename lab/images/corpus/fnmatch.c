/*
 * title: Shell patterns
 * rows: 12 13 16
 * musl: regex/fnmatch.c ctype/iswctype.c ctype/iswalnum.c ctype/iswalpha.c ctype/iswblank.c ctype/iswcntrl.c
 *       ctype/iswgraph.c ctype/iswlower.c ctype/iswprint.c ctype/iswpunct.c ctype/iswspace.c ctype/iswupper.c
 *       ctype/iswxdigit.c ctype/iswdigit.c ctype/towctrans.c
 * compilers: clang gcc/aarch64
 * expect: small 0x6d54a57cc2704be5 large 0x26f61e4f01a72525
 *
 * musl's fnmatch: many early returns, a loop over path components.  gcc for x86-64 reads the thread's locale through
 * the thread pointer before it is needed, and there is no thread here.
 */
#include <fnmatch.h>

#include "rt.h"

#define FNM_CASEFOLD 0x10

static const struct {
	const char *pattern, *text;
	int flags, result;
} rows[] = {
	{ "*.c", "main.c", 0, 0 },
	{ "*.c", "main.h", 0, FNM_NOMATCH },
	{ "a?c", "abc", 0, 0 },
	{ "[!a-m]*[0-9]", "zebra7", 0, 0 },
	{ "*/b", "a/x/b", FNM_PATHNAME, FNM_NOMATCH },
	{ "*/*/b", "a/x/b", FNM_PATHNAME, 0 },
	{ "*", ".hidden", FNM_PERIOD, FNM_NOMATCH },
	{ "\\*", "*", 0, 0 },
	{ "\\*", "\\*", FNM_NOESCAPE, 0 },
	{ "[[:digit:]]x", "4x", 0, 0 },
	{ "HeLLo", "hEllO", FNM_CASEFOLD, 0 },
	{ "*a*b*c*d*e", "xxaxxbxxcxxdxxf", 0, FNM_NOMATCH },
};

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 600 : 1;

	for (u64 round = 0; round < rounds; round++)
		for (u64 i = 0; i < COUNT(rows); i++) {
			int result = fnmatch(rows[i].pattern, rows[i].text, rows[i].flags);
			lab_check(result == rows[i].result, rows[i].pattern);
			digest = digest * 31 + (u64)result;
		}
	return digest;
}
