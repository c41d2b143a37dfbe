/*
 * title: DES and its password hashes
 * rows: 12 19 23
 * musl: crypt/crypt_des.c
 * expect: small 0xba4c1dde9747fc10 large 0x1c4bbcdd522f4730
 *
 * Small: single blocks with published vectors.  Large: traditional crypt (25 iterations) of published passwords and
 * the extended scheme.
 */
#include "rt.h"

struct expanded_key {
	u32 l[16], r[16];
};

void __des_setkey(const u8 *key, struct expanded_key *expanded);
void __do_des(u32 left, u32 right, u32 *out_left, u32 *out_right, u32 count, u32 salt, const struct expanded_key *key);
char *__crypt_des(const char *key, const char *setting, char *output);

static u64 block(const u8 *key, u64 plain, u64 cipher)
{
	struct expanded_key expanded;
	u32 left, right;

	__des_setkey(key, &expanded);
	__do_des((u32)(plain >> 32), (u32)plain, &left, &right, 1, 0, &expanded);
	lab_check(((u64)left << 32 | right) == cipher, "a DES block");
	return cipher;
}

static const struct {
	const char *key, *setting, *hash;
} passwords[] = {
	{ "U*U*U*U*", "CC", "CCNf8Sbh3HDfQ" },
	{ "test", "ab", "abgOeLfPimXQo" },
	{ "password", "_J9..CCCC", "_J9..CCCC.MOp/ZbelpA" },
};

u64 lab_main(u64 large)
{
	static const u8 key[] = { 0x13, 0x34, 0x57, 0x79, 0x9b, 0xbc, 0xdf, 0xf1 };
	static const u8 steps[] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef };
	u64 digest = block(key, 0x0123456789abcdef, 0x85e813540f0ab405);

	digest ^= block(steps, 0x4e6f772069732074, 0x3fa40e8a984d4815);
	if (!large)
		return digest;
	char output[24];
	for (u64 round = 0; round < 4; round++)
		for (u64 i = 0; i < COUNT(passwords); i++) {
			lab_check(__crypt_des(passwords[i].key, passwords[i].setting, output) == output,
				  "DES crypt and its self-test");
			lab_check(lab_same_text(output, passwords[i].hash), passwords[i].setting);
			digest = lab_mix_text(digest, output);
		}
	return digest;
}
