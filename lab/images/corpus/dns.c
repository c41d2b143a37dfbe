/*
 * title: DNS name compression
 * rows: 12 13 16
 * musl: network/dn_comp.c network/dn_expand.c network/dn_skipname.c
 * expect: small 0x9602796f289b9b69 large 0xf9efae15c5350fe5
 *
 * musl's resolver primitives on the example message of RFC 1035, 4.1.4: FOO.F.ISI.ARPA shares its tail with F.ISI.ARPA.
 */
#include <resolv.h>
#include <string.h>

#include "rt.h"

static const char *const names[] = { "F.ISI.ARPA", "FOO.F.ISI.ARPA", "ARPA" };
/* Compressed: all four labels; one label and a pointer; a pointer alone. */
static const int sizes[] = { 12, 6, 2 };

static u64 example(u64 count)
{
	u8 message[512] = { 0 };
	u8 *places[8] = { message, 0 }, **end = places + COUNT(places);
	u8 *starts[COUNT(names)];
	u64 used = 20, digest;

	for (u64 i = 0; i < count; i++) {
		starts[i] = message + used;
		int size = dn_comp(names[i], starts[i], (int)(sizeof message - used), places, end);
		lab_check(size == sizes[i], names[i]);
		used += (u64)size;
	}
	digest = lab_mix_bytes(LAB_SEED, message, used);
	for (u64 i = 0; i < count; i++) {
		char text[64];
		lab_check(dn_expand(message, message + used, starts[i], text, sizeof text) == sizes[i], names[i]);
		lab_check(lab_same_text(text, names[i]), names[i]);
		lab_check(dn_skipname(starts[i], message + used) == sizes[i], "skipping a name");
	}
	message[used] = 0xc0;
	message[used + 1] = (u8)used;
	lab_check(dn_expand(message, message + used + 2, message + used, (char[64]){ 0 }, 64) == -1, "a pointer to itself");
	return digest;
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 400 : 1;

	for (u64 round = 0; round < rounds; round++)
		digest = lab_mix(digest, example(large ? COUNT(names) : 2));
	return digest;
}
