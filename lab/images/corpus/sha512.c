/*
 * title: SHA-512 and its password hash
 * rows: 12 19 23 29
 * musl: stdio/sprintf.c stdio/vsprintf.c stdio/vsnprintf.c stdio/vfprintf.c stdio/fwrite.c stdio/__towrite.c math/__signbit.c math/__signbitl.c math/__fpclassify.c math/__fpclassifyl.c
 * musl-include: crypt/crypt_sha512.c
 * float: yes
 * expect: small 0x3acb7dc8f9d279f9 large 0xb4fbde7a23dc25f2
 *
 * musl's crypt.  Small: the bare hash, of the strings with published digests.  Large: the password scheme, with the fewest rounds the specification allows.
 * (float: the scheme formats its result with musl's vfprintf.)
 */
#include "crypt/crypt_sha512.c"
#include "rt.h"

static void hash(const char *text, u8 *sum)
{
	struct sha512 state;

	sha512_init(&state);
	sha512_update(&state, text, strlen(text));
	sha512_sum(&state, sum);
}

static u64 check(const char *text, const char *digest)
{
	u8 sum[64];

	hash(text, sum);
	for (u64 i = 0; i < sizeof sum; i++) {
		lab_check("0123456789abcdef"[sum[i] >> 4] == digest[2 * i], text);
		lab_check("0123456789abcdef"[sum[i] & 15] == digest[2 * i + 1], text);
	}
	return lab_mix_bytes(LAB_SEED, sum, sizeof sum);
}

u64 lab_main(u64 large)
{
	u64 digest = check("abc", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
				  "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");

	if (!large)
		return digest;
	char output[128];
	lab_check(sha512crypt("the minimum number is still observed", "$6$rounds=1000$roundstoolow", output) == output &&
			  lab_same_text(output, "$6$rounds=1000$roundstoolow$kUMsbe306n21p9R.FRkW3IGn.S9NPN0x50YhH1xhLs"
						"PuWGsUSklZt58jaTfF4ZEQpyUNGc0dqbpBYYBaHHrsX."),
		  "SHA-crypt, 1000 rounds");
	return lab_mix_text(digest, output);
}
