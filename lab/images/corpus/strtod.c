/*
 * title: Decimal to binary floating point
 * rows: 12 13 16 17
 * musl: stdlib/strtod.c internal/floatscan.c internal/shgetc.c stdio/__uflow.c stdio/__toread.c math/scalbn.c
 *       math/scalbnl.c
 * float: yes
 * expect: small 0xe5b0f26ffbf1f8c7 large 0xc30e437acfb8fe91
 *
 * musl's floatscan, exact for any length.  The hard cases are published ones: halfway values, the largest number, the
 * border of the subnormals, long digit strings.
 */
#include <stdlib.h>

#include "rt.h"

static const struct {
	const char *text;
	u64 bits;
	int used;
} rows[] = {
	{ "0.1", 0x3fb999999999999a, 3 },
	{ "9007199254740993", 0x4340000000000000, 16 },
	{ "-2.5e3x", 0xc0a3880000000000, 6 },
	{ "0x1.8p1", 0x4008000000000000, 7 },
	{ "infinity", 0x7ff0000000000000, 8 },
	{ "2.2250738585072011e-308", 0x000fffffffffffff, 23 },
	{ "2.2250738585072012e-308", 0x0010000000000000, 23 },
	{ "1.7976931348623157e308", 0x7fefffffffffffff, 22 },
	{ "1e400", 0x7ff0000000000000, 5 },
	{ "4.9406564584124654e-324", 0x0000000000000001, 23 },
	{ "9007199254740993.00000000000000000000000000000000000000001", 0x4340000000000001, 58 },
	{ "0.500000000000000166533453693773481063544750213623046875", 0x3fe0000000000002, 56 },
	{ "6.02214076e23", 0x44dfe185ca57c517, 13 },
	{ "nothing", 0, 0 },
};

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 15 : 1, count = large ? COUNT(rows) : 5;

	for (u64 round = 0; round < rounds; round++)
		for (u64 i = 0; i < count; i++) {
			char *end;
			double found = strtod(rows[i].text, &end);
			u64 bits;
			__builtin_memcpy(&bits, &found, 8);
			lab_check(bits == rows[i].bits, rows[i].text);
			lab_check(end - rows[i].text == rows[i].used, "characters used");
			digest = lab_mix(digest, bits);
		}
	return digest;
}
