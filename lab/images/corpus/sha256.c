/*
 * title: SHA-256 and its password hash
 * rows: 12 19 23 29
 * musl: stdio/sprintf.c stdio/vsprintf.c stdio/vsnprintf.c stdio/vfprintf.c stdio/fwrite.c stdio/__towrite.c math/__signbit.c math/__signbitl.c math/__fpclassify.c math/__fpclassifyl.c
 * musl-include: crypt/crypt_sha256.c
 * float: yes
 * expect: small 0xda1463b8706c2ef7 large 0xdcfdbc95f694a567
 *
 * musl's crypt.  Small: the bare hash, of the strings with published digests.  Large: the password scheme, with the fewest rounds the specification allows.
 * (float: the scheme formats its result with musl's vfprintf.)
 */
#include "crypt/crypt_sha256.c"
#include "rt.h"

static void hash(const char *text, u8 *sum)
{
	struct sha256 state;

	sha256_init(&state);
	sha256_update(&state, text, strlen(text));
	sha256_sum(&state, sum);
}

static u64 check(const char *text, const char *digest)
{
	u8 sum[32];

	hash(text, sum);
	for (u64 i = 0; i < sizeof sum; i++) {
		lab_check("0123456789abcdef"[sum[i] >> 4] == digest[2 * i], text);
		lab_check("0123456789abcdef"[sum[i] & 15] == digest[2 * i + 1], text);
	}
	return lab_mix_bytes(LAB_SEED, sum, sizeof sum);
}

u64 lab_main(u64 large)
{
	u64 digest = check("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

	digest ^= check("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	if (!large)
		return digest;
	char output[128];
	lab_check(sha256crypt("the minimum number is still observed", "$5$rounds=1000$roundstoolow", output) == output &&
			  lab_same_text(output, "$5$rounds=1000$roundstoolow$yfvwcWrQ8l/K0DAWyuPMDNHpIVlTQebY9l/gL972bIC"),
		  "SHA-crypt, 1000 rounds");
	return lab_mix_text(digest, output);
}
