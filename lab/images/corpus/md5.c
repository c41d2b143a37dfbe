/*
 * title: MD5 and its password hash
 * rows: 12 19 23 29
 * musl-include: crypt/crypt_md5.c
 * expect: small 0xdea8d60a164ba257 large 0xe6b112f7e3df2ec6
 *
 * musl's crypt.  Small: the bare hash, of the strings with published digests.  Large: the password scheme, with its fixed 1000 rounds.
 */
#include "crypt/crypt_md5.c"
#include "rt.h"

static void hash(const char *text, u8 *sum)
{
	struct md5 state;

	md5_init(&state);
	md5_update(&state, text, strlen(text));
	md5_sum(&state, sum);
}

static u64 check(const char *text, const char *digest)
{
	u8 sum[16];

	hash(text, sum);
	for (u64 i = 0; i < sizeof sum; i++) {
		lab_check("0123456789abcdef"[sum[i] >> 4] == digest[2 * i], text);
		lab_check("0123456789abcdef"[sum[i] & 15] == digest[2 * i + 1], text);
	}
	return lab_mix_bytes(LAB_SEED, sum, sizeof sum);
}

u64 lab_main(u64 large)
{
	u64 digest = check("abc", "900150983cd24fb0d6963f7d28e17f72");

	digest ^= check("", "d41d8cd98f00b204e9800998ecf8427e");
	digest ^= check("message digest", "f96b697d7cb7938d525a2f31aaf161d0");
	if (!large)
		return digest;
	char output[128];
	lab_check(md5crypt("Hello world!", "$1$saltstri", output) == output &&
  lab_same_text(output, "$1$saltstri$YMyguxXMBpd2TEZ.vS/3q1"),
		  "MD5-crypt");
	return lab_mix_text(digest, output);
}
