/*
 * title: Mutual recursion: a recursive-descent calculator
 * rows: 12 13 16 25
 * expect: small 0x1607a190c37cf11a large 0xf4ca67020246325a
 *
 * expression -> term -> factor -> expression: cycles of three functions, and two that only call each other.
 */
#include "rt.h"

struct text {
	const char *at;
	int failed;
};

s64 expression(struct text *text);

NOINLINE s64 number(struct text *text)
{
	s64 value = 0;

	if (*text->at < '0' || *text->at > '9')
		text->failed = 1;
	while (*text->at >= '0' && *text->at <= '9')
		value = value * 10 + (*text->at++ - '0');
	return value;
}

NOINLINE s64 factor(struct text *text)
{
	if (*text->at == '-') {
		text->at++;
		return -factor(text);
	}
	if (*text->at != '(')
		return number(text);
	text->at++;
	s64 value = expression(text);
	if (*text->at++ != ')')
		text->failed = 1;
	return value;
}

NOINLINE s64 term(struct text *text)
{
	s64 value = factor(text);

	for (;;) {
		char operator = *text->at;
		if (operator != '*' && operator != '%')
			return value;
		text->at++;
		s64 right = factor(text);
		if (operator == '*')
			value *= right;
		else if (right)
			value %= right;
		else
			text->failed = 1;
	}
}

NOINLINE s64 expression(struct text *text)
{
	s64 value = term(text);

	while (*text->at == '+' || *text->at == '-') {
		char operator = *text->at++;
		s64 right = term(text);
		value += operator == '+' ? right : -right;
	}
	return value;
}

/* Hofstadter's female and male sequences: each is defined by the other. */
u64 male(u64 n);

NOINLINE u64 female(u64 n)
{
	return n ? n - male(female(n - 1)) : 1;
}

NOINLINE u64 male(u64 n)
{
	return n ? n - female(male(n - 1)) : 0;
}

static const struct {
	const char *text;
	s64 value;
} sums[] = {
	{ "1+2*3", 7 },
	{ "(1+2)*3", 9 },
	{ "-(4-9)*(2+(3*(4-(5-6))))", 85 },
	{ "((((((((1))))))))+1000%7", 7 },
	{ "2*(3+4*(5-1*(6-7*(8-9))))-1", -59 },
};

static const u8 females[] = { 1, 1, 2, 2, 3, 3, 4, 5, 5, 6, 6, 7, 8, 8, 9 };

u64 lab_main(u64 large)
{
	u64 rounds = large ? 150 : 1, digest = LAB_SEED, last = large ? 50 : 9;

	for (u64 round = 0; round < rounds; round++)
		for (u64 i = 0; i < COUNT(sums); i++) {
			struct text text = { sums[i].text, 0 };
			s64 value = expression(&text);
			lab_check(!text.failed && !*text.at && value == sums[i].value, "a sum");
			digest = lab_mix(digest, (u64)value + round);
		}
	for (u64 n = 0; n <= last; n += large ? 10 : 3) {
		u64 found = female(n);
		lab_check(n >= COUNT(females) || found == females[n], "Hofstadter's female sequence");
		digest = lab_mix(digest, found);
	}
	return digest;
}
