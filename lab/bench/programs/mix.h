/* The call-heavy mix itself, for the programs that run it. */
#include "bench.h"

typedef u64 operation(u64, u64);

struct pair {
	u64 first, second;
};

static struct pair pairs[16];

/* Leaves: no frame on AArch64. */
static NOINLINE u64 scramble(u64 a, u64 b)
{
	a ^= b;
	a = (a << 13 | a >> 51) * 0x9e3779b97f4a7c15ul;
	b = (b ^ a >> 29) * 0xbf58476d1ce4e5b9ul;
	a = (a + (b << 7 | b >> 57)) * 0x94d049bb133111ebul;
	return a ^ b >> 32;
}

static NOINLINE u64 digits(u64 value, u64 sum)
{
	for (int i = 0; i < 4; i++) {
		sum = sum * 10 + (value & 7);
		value >>= 3;
	}
	return sum ^ value;
}

static NOINLINE void put(struct pair *pair, u64 value)
{
	pair->first += value;
	pair->second = pair->first * 31 ^ value;
	BARRIER();
	pair->first ^= pair->second >> 5;
}

static NOINLINE u64 get(const struct pair *pair)
{
	BARRIER();
	return pair->first * 17 + pair->second - (pair->first >> 3 ^ pair->second << 2);
}

/* A leaf with a stack of its own. */
static NOINLINE u64 reverse(u64 value, u64 seed)
{
	volatile u8 bytes[8];
	u64 result = seed;

	for (int i = 0; i < 4; i++)
		bytes[i] = (u8)(value >> 8 * i);
	for (int i = 3; i >= 0; i--)
		result = result << 8 | bytes[i];
	return result;
}

/* The others keep a frame record. */
static NOINLINE u64 twice(u64 a, u64 b)
{
	u64 first = scramble(a, b);

	first = (first ^ a >> 11) * 0xff51afd7ed558ccdul;
	return scramble(first, a + b) + (first << 9 ^ b >> 3);
}

static NOINLINE u64 kept(u64 index, u64 value)
{
	struct pair *pair = &pairs[index & 15];

	put(pair, value * 3 ^ index << 40);
	put(&pairs[index + 5 & 15], value >> 7);
	return get(pair) + (value << 1 ^ value >> 1) * 5;
}

static NOINLINE u64 nested(u64 depth, u64 value)
{
	u64 result = value * 0xc4ceb9fe1a85ec53ul + depth;

	result ^= result >> 33;
	if (depth)
		result += nested(depth - 1, result * 7 ^ value);
	BARRIER();
	return result ^ (result << 21 | result >> 43);
}

static operation *volatile operations[4] = {scramble, digits, twice, reverse};

static NOINLINE u64 dispatch(u64 index, u64 value)
{
	u64 result = operations[index & 3](value, index * 0x2545f4914f6cdd1dul);

	return (result ^ result >> 17) * 0x9fb21c651e98df25ul + index;
}

static NOINLINE u64 last(u64 value)
{
	value = value * 3 + (value >> 9);
	return digits(value ^ value << 11, value >> 44); /* a tail call */
}

NOINLINE u64 bench_calls(u64 value)
{
	for (u64 i = 0; i < 4; i++)
		value = dispatch(i, value) + (value >> 3);
	value = kept(3, value) ^ twice(value, 99);
	value += nested(4, value);
	value ^= kept(9, value) + last(value);
	return twice(value, 7) - reverse(value, 1);
}
