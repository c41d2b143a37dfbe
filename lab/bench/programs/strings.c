/*
 * Byte stores, byte by byte and as string instructions where the architecture has them, into data and into the
 * stack above live frames.  A rep-prefixed instruction is one instruction however many bytes it writes.
 */
#include "bench.h"

static u8 text[512], copy[512];

static NOINLINE void fill(u8 *to, u8 value, u64 size)
{
#ifdef __x86_64__
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
#else
	for (u64 i = 0; i < size; i++) {
		to[i] = value;
		BARRIER();
	}
#endif
}

static NOINLINE void move(u8 *to, const u8 *from, u64 size)
{
#ifdef __x86_64__
	u64 words = size / 8;
	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
#else
	for (u64 i = 0; i < size; i += 8) {
		*(u64 *)(to + i) = *(const u64 *)(from + i);
		BARRIER();
	}
#endif
}

static NOINLINE u64 letters(u8 *to, const u8 *from, u64 size)
{
	u64 sum = 0;

	for (u64 i = 0; i < size; i++) {
		to[i] = (from[i] ^ 0x20) + (u8)i;
		sum = sum * 31 + to[i];
	}
	return sum;
}

static NOINLINE u64 line(u64 value)
{
	u8 local[64];
	u64 sum;

	fill(local, (u8)value, sizeof local);
	move(text + 64 * (value & 7), local, sizeof local);
	sum = letters(local, text + 8 * (value & 31), sizeof local);
	move(copy + 64 * (value & 7), local, sizeof local);
	return sum ^ value >> 8;
}

u64 lab_main(u64 large)
{
	u64 value = large + 1;

	for (u64 rounds = unwindlab_rounds; rounds; rounds--) {
		for (int i = 0; i < 2; i++)
			value = line(value) + line(value * 7);
		fill(text, (u8)value, sizeof text / 4);
		value ^= copy[value & 255];
	}
	return value;
}
