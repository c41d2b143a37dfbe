/*
 * title: Plural rules: an operator-precedence parser
 * rows: 12 13 16 25
 * musl: locale/pleval.c
 * expect: small 0xb260ffac00224186 large 0x8a685b2ed9fd2ff9
 *
 * musl's evaluator of gettext's Plural-Forms, by recursive descent with a depth limit.  The rules are those of the
 * gettext manual.
 */
#include "rt.h"

u64 __pleval(const char *rule, u64 n);

static const char russian[] = "n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2;";
static const char slovenian[] = "n%100==1 ? 0 : n%100==2 ? 1 : n%100==3 || n%100==4 ? 2 : 3;";
static const char french[] = "n>1;";

static u64 in_russian(u64 n)
{
	return n % 10 == 1 && n % 100 != 11 ? 0 : n % 10 >= 2 && n % 10 <= 4 && (n % 100 < 10 || n % 100 >= 20) ? 1 : 2;
}

static u64 in_slovenian(u64 n)
{
	return n % 100 == 1 ? 0 : n % 100 == 2 ? 1 : n % 100 == 3 || n % 100 == 4 ? 2 : 3;
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, last = large ? 230 : 0;

	for (u64 n = 0; n <= last; n++) {
		u64 first = __pleval(russian, n), second = __pleval(slovenian, n);
		lab_check(first == in_russian(n), "Russian");
		lab_check(second == in_slovenian(n), "Slovenian");
		lab_check(__pleval(french, n) == (n > 1), "French");
		digest = digest * 31 + first * 4 + second;
	}
	lab_check(__pleval("((((1+2*3-4))))/(n+1);", 2) == 1, "arithmetic");
	lab_check(__pleval("n/0;", 2) == ~0ul && __pleval("1+;", 2) == ~0ul, "division by zero and a missing operand");
	return digest;
}
