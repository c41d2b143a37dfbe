/*
 * title: scanf
 * rows: 12 13 16 25
 * musl: stdio/sscanf.c stdio/vsscanf.c stdio/vfscanf.c internal/intscan.c internal/floatscan.c internal/shgetc.c
 *       stdio/__uflow.c stdio/__toread.c math/scalbn.c math/scalbnl.c
 * float: yes
 * expect: small 0x44c6c4dbcfbb104d large 0x96bc660c3d1bf7e5
 *
 * musl's vfscanf with intscan and floatscan behind it, reading through a function pointer.
 */
#include <stdio.h>

#include "rt.h"

NOINLINE u64 integers(void)
{
	int a, b, used = -1;
	unsigned c;
	long d;

	lab_check(sscanf("42 -0x1f 777 0644", "%d %i %o %li%n", &a, &b, &c, &d, &used) == 4, "four conversions");
	lab_check(a == 42 && b == -31 && c == 511 && d == 420 && used == 17, "integers");
	return (u64)(a + b) * c + (u64)d;
}

NOINLINE u64 words(void)
{
	char name[16], digits[8], last;

	lab_check(sscanf("kernel-6.13 x", "%[a-z]-%7[0-9.] %c", name, digits, &last) == 3, "three conversions");
	lab_check(lab_same_text(name, "kernel") && lab_same_text(digits, "6.13") && last == 'x', "words");
	lab_check(sscanf("abc", "%d", &(int){ 0 }) == 0, "no integer");
	lab_check(sscanf("", "%d", &(int){ 0 }) == EOF, "no input");
	return lab_mix_text(lab_mix_text(LAB_SEED, name), digits);
}

NOINLINE u64 numbers(void)
{
	double x, y;
	float z;
	u64 bits;

	lab_check(sscanf("3.25,-1e-3;0x.8", "%lf,%lf;%f", &x, &y, &z) == 3, "three numbers");
	lab_check(x == 3.25 && y == -1e-3 && z == 0.5f, "numbers");
	__builtin_memcpy(&bits, &y, 8);
	return bits;
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 300 : 1;

	for (u64 round = 0; round < rounds; round++) {
		digest = lab_mix(digest, integers());
		digest = lab_mix(digest, words());
		digest = lab_mix(digest, numbers());
	}
	return digest;
}
