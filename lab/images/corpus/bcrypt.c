/*
 * title: Blowfish and bcrypt
 * rows: 12 19 23
 * musl-include: crypt/crypt_blowfish.c
 * expect: small 0xd38197e460c6773f large 0x14780dfe6866a4ee
 *
 * musl's crypt_blowfish.  Small: its key set-up and encoding with the values of its own self-test (one password needs
 * 521 encryptions per key schedule: too many).  Large: a published bcrypt vector of cost 5.
 */
#include "crypt/crypt_blowfish.c"
#include "rt.h"

static u64 keys(void)
{
	static const char tricky[] = "\xff\xa3" "34" "\xff\xff\xff\xa3" "345";
	BF_key expanded, initial;

	BF_set_key(tricky, expanded, initial, 2);
	lab_check((initial[0] ^ 0x10000) == 0xdb9c59bc, "key set-up of $2a$");
	BF_set_key(tricky, expanded, initial, 4);
	lab_check(expanded[17] == 0x33343500, "key set-up of $2y$");
	return lab_mix_bytes(LAB_SEED, expanded, sizeof expanded);
}

static u64 encoding(void)
{
	static const char text[] = "abcdefghijklmnopqrstuu";
	BF_word binary[4];
	char again[23];

	lab_check(BF_decode(binary, text, 16) == 0, "decoding");
	BF_encode(again, binary, 16);
	again[22] = 0;
	lab_check(lab_same_text(again, text), "encoding what was decoded");
	lab_check(BF_decode(binary, "not/base64~~~~~~~~~~~~", 16) != 0, "a character outside the alphabet");
	return lab_mix_bytes(LAB_SEED, binary, sizeof binary);
}

static BF_ctx context;

static u64 blocks(void)
{
	BF_word out[6];

	context = BF_init_state;
	BF_encrypt(&context, 0, 0, out, out + 6);
	return lab_mix_bytes(LAB_SEED, out, sizeof out);
}

u64 lab_main(u64 large)
{
	u64 digest = keys() ^ encoding();

	if (!large)
		return digest ^ blocks();
	static const char expected[] = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
	char output[64];
	lab_check(__crypt_blowfish("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.", output) == output, "bcrypt and its self-test");
	lab_check(lab_same_text(output, expected), "bcrypt of U*U, cost 5");
	return lab_mix_text(digest, output);
}
