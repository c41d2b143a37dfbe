/*
 * title: Powers, sines and their argument reduction
 * rows: 12 16 17 19
 * musl: math/pow.c math/pow_data.c math/exp_data.c math/__math_invalid.c math/__math_oflow.c math/__math_uflow.c
 *       math/__math_xflow.c math/__sin.c math/__cos.c math/__rem_pio2.c math/__rem_pio2_large.c math/scalbn.c
 *       math/fma.c
 * float: yes
 * expect: small 0xaf6318257af91285 large 0x17af620b8481f426
 *
 * musl's correctly documented corner cases and a famous one: sin(10^22), which needs hundreds of bits of pi.
 */
#include <math.h>

#include "rt.h"

double __sin(double x, double rest, int has_rest);
double __cos(double x, double rest);
int __rem_pio2(double x, double *parts);

NOINLINE double sine(double x)
{
	double parts[2];
	int quadrant = __rem_pio2(x, parts);
	double value = quadrant & 1 ? __cos(parts[0], parts[1]) : __sin(parts[0], parts[1], 1);

	return quadrant & 2 ? -value : value;
}

static u64 bits(double x)
{
	u64 word;

	__builtin_memcpy(&word, &x, 8);
	return word;
}

static const struct {
	double x, y;
	u64 bits;
} powers[] = {
	{ 2, 0.5, 0x3ff6a09e667f3bcd },	 /* the square root of two */
	{ 10, 22, 0x4480f0cf064dd592 },	 /* exact */
	{ 0.5, 1074, 0x0000000000000001 },
	{ 10, 309, 0x7ff0000000000000 },
	{ -2, 3, 0xc020000000000000 },
	{ -8, -1, 0xbfc0000000000000 },
	{ 1, 1e300, 0x3ff0000000000000 },
};

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 4000 : 1;

	for (u64 i = 0; i < COUNT(powers); i++) {
		u64 found = bits(pow(powers[i].x, powers[i].y));
		lab_check(found == powers[i].bits, "a power");
		digest = lab_mix(digest, found);
	}
	lab_check(bits(sine(1e22)) == 0xbfeb453ab76bf397, "sin(10^22)");
	lab_check(fma(0x1p27 + 1, 0x1p27 + 1, -0x1p54) == 0x1p28 + 1, "fma rounds once");
	for (u64 i = 1; i <= rounds; i++) {
		double s = sine((double)i * 1.25), c = sine((double)i * 1.25 + 0x1.921fb54442d18p0);
		lab_check(s * s + c * c > 1 - 0x1p-40 && s * s + c * c < 1 + 0x1p-40, "sine and cosine on the unit circle");
		digest = digest * 31 + bits(s);
		digest = digest * 31 + bits(pow(s * s, 1.5));
	}
	return digest;
}
