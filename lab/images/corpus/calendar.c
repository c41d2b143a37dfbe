/*
 * title: Seconds to dates and back
 * rows: 12 16 19
 * musl: time/__secs_to_tm.c time/__tm_to_secs.c time/__month_to_secs.c time/__year_to_secs.c time/strftime.c
 *       locale/langinfo.c stdio/snprintf.c stdio/vsnprintf.c stdio/vfprintf.c stdio/fwrite.c stdio/__towrite.c math/__signbit.c math/__signbitl.c math/__fpclassify.c math/__fpclassifyl.c
 * float: yes
 * expect: small 0x40f546c386ff4f4d large 0x9b103a23fca3200c
 *
 * musl's calendar arithmetic and strftime.  Dates everybody knows: the epoch, a leap day of a year divisible by 400,
 * the last 32-bit second.
 */
#include <string.h>

#include "locale_impl.h"
#include "time/time_impl.h"

#include "rt.h"

size_t __strftime_l(char *restrict, size_t, const char *restrict, const struct tm *restrict, locale_t);

/* strftime names no time zone here. */
const char *__tm_to_tzname(const struct tm *tm)
{
	(void)tm;
	return "UTC";
}

static struct __locale_struct c_locale;

static const struct {
	s64 seconds;
	const char *text;
} days[] = {
	{ 0, "1970-01-01 00:00:00 Thu 001" },
	{ 951782400, "2000-02-29 00:00:00 Tue 060" },
	{ 2147483647, "2038-01-19 03:14:07 Tue 019" },
	{ -1, "1969-12-31 23:59:59 Wed 365" },
	{ -2208988800, "1900-01-01 00:00:00 Mon 001" },
	{ 4107542400, "2100-03-01 00:00:00 Mon 060" },
};

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, count = large ? COUNT(days) : 1, steps = large ? 5000 : 8;

	for (u64 i = 0; i < count; i++) {
		struct tm tm = { 0 };
		char text[40];
		lab_check(__secs_to_tm(days[i].seconds, &tm) == 0, days[i].text);
		lab_check(__tm_to_secs(&tm) == days[i].seconds, days[i].text);
		lab_check(__strftime_l(text, sizeof text, "%Y-%m-%d %H:%M:%S %a %j", &tm, &c_locale) == 27, "the length");
		lab_check(lab_same_text(text, days[i].text), days[i].text);
		digest = lab_mix_text(digest, text);
	}
	for (u64 i = 0; i < steps; i++) {
		struct tm tm = { 0 };
		s64 seconds = (s64)(i * 86400 * 365 / 7) - 40000000000;
		__secs_to_tm(seconds, &tm);
		lab_check(__tm_to_secs(&tm) == seconds, "there and back");
		digest = digest * 31 + (u64)tm.tm_yday;
	}
	return digest;
}
