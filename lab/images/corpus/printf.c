/*
 * title: printf formatting
 * rows: 12 13 16 17 25
 * musl: stdio/snprintf.c stdio/vsnprintf.c stdio/vfprintf.c stdio/fwrite.c stdio/__towrite.c math/__signbit.c math/__signbitl.c math/__fpclassify.c math/__fpclassifyl.c
 * float: yes
 * expect: small 0x1621d730b5086dcd large 0x914955e1d3db4b1d
 *
 * musl's vfprintf through snprintf: a state machine, exact decimal conversion of binary floating point, output through
 * a function pointer in a stream made on the stack.
 */
#include <stdio.h>

#include "rt.h"

#define EXPECT(text, ...)                                                                            \
	do {                                                                                         \
		char line[400];                                                                      \
		lab_check(snprintf(line, sizeof line, __VA_ARGS__) == sizeof text - 1, text);        \
		lab_check(lab_same_text(line, text), text);                                          \
		digest = lab_mix_bytes(digest, line, sizeof text);                                   \
	} while (0)

NOINLINE u64 few(u64 digest)
{
	EXPECT("-42 0x2a", "%d %#x", -42, 42);
	EXPECT("[  abc][7]", "[%5.3s][%zu]", "abcdef", (size_t)7);
	EXPECT("0.1", "%g", 0.1);
	return digest;
}

NOINLINE u64 many(u64 digest)
{
	EXPECT("0052|+7|   7|7   |0007", "%04o|%+d|%4d|%-4d|%.4d", 42, 7, 7, 7, 7);
	EXPECT("18446744073709551615 -9223372036854775808", "%lu %ld", ~0ul, (long)(1ul << 63));
	EXPECT("third first", "%2$s %1$s", "first", "third");
	EXPECT("1.7976931348623157e+308", "%.17g", 0x1.fffffffffffffp1023);
	EXPECT("5e-324", "%.0e", 0x1p-1074);
	EXPECT("0.1000000000000000055511151231257827021181583404541015625", "%.55f", 0.1);
	EXPECT("0x1.8p+1 -0X1P-1074", "%a %A", 3.0, -0x1p-1074);
	EXPECT("100000000000000000000.000", "%.3f", 1e20);
	EXPECT("2 4 -inf nan", "%.0f %.0f %f %f", 2.5, 3.5, -__builtin_inf(), __builtin_nan(""));
	EXPECT("100% A", "%d%% %c", 100, 'A');
	return digest;
}

u64 lab_main(u64 large)
{
	u64 digest = few(LAB_SEED), rounds = large ? 40 : 0;
	char cut[4];
	int counted = 0;

	lab_check(snprintf(cut, sizeof cut, "%d%n", 123456, &counted) == 6 && counted == 6, "the whole length");
	lab_check(lab_same_text(cut, "123"), "what fits");
	for (u64 round = 0; round < rounds; round++)
		digest = many(digest);
	return digest;
}
