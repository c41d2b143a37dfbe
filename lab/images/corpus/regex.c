/*
 * title: Regular expressions compiled and matched
 * rows: 12 13 16 17 23 25
 * musl: regex/regcomp.c regex/regexec.c regex/tre-mem.c ctype/iswctype.c ctype/iswalnum.c ctype/iswalpha.c
 *       ctype/iswblank.c ctype/iswcntrl.c ctype/iswgraph.c ctype/iswlower.c ctype/iswprint.c ctype/iswpunct.c
 *       ctype/iswspace.c ctype/iswupper.c ctype/iswxdigit.c ctype/iswdigit.c ctype/towctrans.c
 * expect: small 0x0be24b065ae0e240 large 0x64408149d762ed6f
 *
 * musl's TRE: a recursive parser, automata, and three matchers (parallel, backtracking, and one without submatches).
 */
#include <regex.h>
#include <string.h>

#include "rt.h"

struct row {
	const char *pattern;
	int flags;
	const char *text;
	int start, end;		/* the match; -1 -1 if there is none */
	int sub_start, sub_end; /* its first group */
};

static const struct row rows[] = {
	{ "ab*c", REG_EXTENDED, "xxabbbcyy", 2, 7, -1, -1 },
	{ "(a|ab)(c|bcd)", REG_EXTENDED, "xabcd", 1, 5, 1, 2 },
	{ "^[[:alpha:]_]+$", REG_EXTENDED, "snake_case", 0, 10, -1, -1 },
	{ "x{2,3}", REG_EXTENDED, "axxxxb", 1, 4, -1, -1 },
	{ "([0-9]+)-([0-9]+)", REG_EXTENDED, "tel 555-0199 now", 4, 12, 4, 7 },
	{ "\\(.\\)\\1", 0, "abccd", 2, 4, 2, 3 },
	{ "HELLO", REG_EXTENDED | REG_ICASE, "say hello", 4, 9, -1, -1 },
	{ "a.c", REG_EXTENDED, "abd", -1, -1, -1, -1 },
	{ "(foo|bar)*baz", REG_EXTENDED, "foobarfoobaz!", 0, 12, 6, 9 },
	{ "[^aeiou[:space:]]{3,}", REG_EXTENDED, "a quick rhythm", 8, 14, -1, -1 },
};

static u64 match(const struct row *row)
{
	regex_t compiled;
	regmatch_t found[3];

	lab_check(regcomp(&compiled, row->pattern, row->flags) == 0, row->pattern);
	int missed = regexec(&compiled, row->text, 3, found, 0);
	lab_check((missed == REG_NOMATCH) == (row->start < 0), row->text);
	u64 digest = LAB_SEED;
	if (!missed) {
		lab_check(found[0].rm_so == row->start && found[0].rm_eo == row->end, row->text);
		if (compiled.re_nsub)
			lab_check(found[1].rm_so == row->sub_start && found[1].rm_eo == row->sub_end, row->pattern);
		digest = lab_mix(digest, (u64)found[0].rm_so << 32 | (u64)found[0].rm_eo);
	}
	regfree(&compiled);
	return digest;
}

static char haystack[4096];

static u64 search(void)
{
	regex_t compiled;
	regmatch_t found[2];
	u64 state = 5, hits = 0;

	for (u64 i = 0; i < sizeof haystack - 1; i++)
		haystack[i] = "abcdef 0123"[lab_next(&state) % 11];
	lab_check(regcomp(&compiled, "([a-f]+)[0-9]+ ", REG_EXTENDED) == 0, "compiling the search");
	for (const char *at = haystack; !regexec(&compiled, at, 2, found, 0); at += found[0].rm_eo) {
		hits++;
		lab_check(at[found[0].rm_eo - 1] == ' ', "a hit ends in a space");
	}
	regfree(&compiled);
	return hits;
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED;

	if (!large)
		return match(&rows[0]);
	for (u64 i = 0; i < COUNT(rows); i++)
		digest = lab_mix(digest, match(&rows[i]));
	regex_t bad;
	lab_check(regcomp(&bad, "(a", REG_EXTENDED) == REG_EPAREN, "an open parenthesis");
	lab_check(regcomp(&bad, "[a", REG_EXTENDED) == REG_EBRACK, "an open bracket");
	return lab_mix(digest, search());
}
