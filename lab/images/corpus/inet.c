/*
 * title: Internet addresses, text to binary and back
 * rows: 12 13 16 17
 * musl: network/inet_pton.c network/inet_ntop.c stdio/snprintf.c stdio/vsnprintf.c stdio/vfprintf.c stdio/fwrite.c
 *       stdio/__towrite.c math/__signbit.c math/__signbitl.c math/__fpclassify.c math/__fpclassifyl.c
 * float: yes
 * expect: small 0xedb66dfc4470cb9a large 0xce3ea6f1083b6455
 *
 * musl's inet_pton and inet_ntop (which formats through vsnprintf: hence float).  The canonical forms of RFC 5952.
 */
#include <arpa/inet.h>

#include "rt.h"

static const struct {
	int family;
	const char *text, *canonical;
} rows[] = {
	{ AF_INET6, "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
	{ AF_INET, "192.0.2.33", "192.0.2.33" },
	{ AF_INET, "1.2.3", 0 },
	{ AF_INET6, "::1", "::1" },
	{ AF_INET6, "2001:DB8::AAAA", "2001:db8::aaaa" },
	{ AF_INET6, "::ffff:192.0.2.128", "::ffff:192.0.2.128" },
	{ AF_INET6, "1::2::3", 0 },
	{ AF_INET6, "fe80::0:0:1", "fe80::1" },
	{ AF_INET, "1.2.3.256", 0 },
};

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 150 : 1, count = large ? COUNT(rows) : 3;

	for (u64 round = 0; round < rounds; round++)
		for (u64 i = 0; i < count; i++) {
			u8 binary[16] = { 0 };
			char text[46];
			lab_check((inet_pton(rows[i].family, rows[i].text, binary) == 1) == !!rows[i].canonical, rows[i].text);
			digest = lab_mix_bytes(digest, binary, 16);
			if (!rows[i].canonical)
				continue;
			lab_check(inet_ntop(rows[i].family, binary, text, sizeof text) == text, rows[i].text);
			lab_check(lab_same_text(text, rows[i].canonical), rows[i].canonical);
		}
	return digest;
}
