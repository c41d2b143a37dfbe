/* The floating-point primitives musl's sources call and the wheel has in another language.  All exact. */
#include "rt.h"

double fabs(double), fmod(double, double), floor(double), frexp(double, int *), sqrt(double);
long double fabsl(long double), fmodl(long double, long double), frexpl(long double, int *);
long double copysignl(long double, long double);

static u64 bits_of(double x)
{
	u64 bits;
	__builtin_memcpy(&bits, &x, 8);
	return bits;
}

static double from_bits(u64 bits)
{
	double x;
	__builtin_memcpy(&x, &bits, 8);
	return x;
}

double fabs(double x)
{
	return from_bits(bits_of(x) & ~(1ul << 63));
}

long double fabsl(long double x)
{
	return fabs((double)x);
}

long double copysignl(long double x, long double sign)
{
	return from_bits((bits_of((double)x) & ~(1ul << 63)) | (bits_of((double)sign) & 1ul << 63));
}

double frexp(double x, int *exponent)
{
	int field = (int)(bits_of(x) >> 52 & 2047);

	*exponent = 0;
	if (x == 0 || field == 2047)
		return x;
	if (!field) {
		x = frexp(x * 0x1p64, exponent);
		*exponent -= 64;
		return x;
	}
	*exponent = field - 1022;
	return from_bits((bits_of(x) & ~(2047ul << 52)) | 1022ul << 52);
}

long double frexpl(long double x, int *exponent)
{
	return frexp((double)x, exponent);
}

/* Subtract y scaled by the greatest power of two that fits, until nothing fits: every step is exact. */
double fmod(double x, double y)
{
	double rest = fabs(x), unit = fabs(y);
	int rest_exponent, unit_exponent;

	if (!(unit > 0) || rest - rest != 0 || y != y)
		return (x * y) / (x * y);
	frexp(unit, &unit_exponent);
	while (rest >= unit) {
		frexp(rest, &rest_exponent);
		double part = unit;
		for (int i = unit_exponent; i < rest_exponent && part <= rest / 2; i++)
			part *= 2;
		rest -= part;
	}
	return bits_of(x) >> 63 ? -rest : rest;
}

long double fmodl(long double x, long double y)
{
	return fmod((double)x, (double)y);
}

double floor(double x)
{
	if (x != x || fabs(x) >= 0x1p52)
		return x;
	double whole = (double)(s64)x;
	return whole > x ? whole - 1 : whole;
}

double sqrt(double x)
{
	return __builtin_sqrt(x);
}
