/*
 * title: Leaf functions in loops
 * rows: 19 29
 * fails: fp boundary at common_nibble; fp boundary at is_vowel
 * refuses: fp-validated boundary at crc32 on aarch64
 * survives: dwarf boundary; sframe boundary; hw-shadow boundary
 * expect: small 0x6b8eb7e2a26dcde8 large 0x12b0c8c50cc75691
 *
 * Almost every stop is in a leaf: one without any stack, one whose array moves the stack pointer without saving a
 * frame record, and one that only tests and returns.  Check values: CRC-32/ISO-HDLC and Adler-32 as published.
 */
#include "rt.h"

NOINLINE u32 crc32(const u8 *bytes, u64 size)
{
	u32 crc = ~0u;

	for (u64 i = 0; i < size; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
	}
	return ~crc;
}

NOINLINE u32 adler32(const u8 *bytes, u64 size)
{
	u32 a = 1, b = 0;

	for (u64 i = 0; i < size; i++) {
		a = (a + bytes[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

/* The most frequent nibble: a leaf with a stack of its own. */
NOINLINE u32 common_nibble(const u8 *bytes, u64 size)
{
	volatile u32 seen[16];
	u32 best = 0;

	for (u32 i = 0; i < 16; i++)
		seen[i] = 0;
	for (u64 i = 0; i < size; i++) {
		seen[bytes[i] & 15]++;
		seen[bytes[i] >> 4]++;
	}
	for (u32 i = 1; i < 16; i++)
		if (seen[i] > seen[best])
			best = i;
	return best;
}

NOINLINE int is_vowel(u8 c)
{
	return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
}

static u8 block[4096];

u64 lab_main(u64 large)
{
	static const u8 nine[] = "123456789", name[] = "Wikipedia";
	u64 digest = LAB_SEED, state = 7, size = large ? sizeof block : 64, rounds = large ? 20 : 2, vowels = 0;

	lab_check(crc32(nine, 9) == 0xcbf43926, "CRC-32 of 123456789");
	lab_check(adler32(name, 9) == 0x11e60398, "Adler-32 of Wikipedia");
	lab_check(common_nibble(nine, 9) == 3, "the nibble 3 in ASCII digits");
	for (u64 i = 0; i < 9; i++)
		vowels += is_vowel(name[i]);
	lab_check(vowels == 5, "vowels of Wikipedia");
	for (u64 round = 0; round < rounds; round++) {
		for (u64 i = 0; i < size; i++)
			block[i] = (u8)(state = state * 1103515245 + 12345 >> 3);
		digest = lab_mix(digest, (u64)crc32(block, size) << 32 | adler32(block, size));
		digest = lab_mix(digest, common_nibble(block, size));
	}
	return digest;
}
