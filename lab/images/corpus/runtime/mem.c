/* The mem* functions.  The compiler calls them for struct copies even in freestanding code; musl's C versions are
   not in the wheel. */
#include <string.h>

#include "rt.h"

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	u8 *t = to;
	const u8 *f = from;

	for (; size >= 8; size -= 8, t += 8, f += 8) {
		u64 word;
		__builtin_memcpy(&word, f, 8);
		__builtin_memcpy(t, &word, 8);
	}
	while (size--)
		*t++ = *f++;
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	u8 *t = to;
	const u8 *f = from;

	if ((u64)t - (u64)f >= size)
		return memcpy(to, from, size);
	while (size--)
		t[size] = f[size];
	return to;
}

void *memset(void *to, int value, size_t size)
{
	u8 *t = to;
	u64 word = (u8)value * 0x0101010101010101ul;

	for (; size >= 8; size -= 8, t += 8)
		__builtin_memcpy(t, &word, 8);
	while (size--)
		*t++ = (u8)value;
	return to;
}

int memcmp(const void *left, const void *right, size_t size)
{
	const u8 *l = left, *r = right;

	for (; size && *l == *r; size--)
		l++, r++;
	return size ? *l - *r : 0;
}

void *memchr(const void *bytes, int value, size_t size)
{
	const u8 *p = bytes;

	for (; size; size--, p++)
		if (*p == (u8)value)
			return (void *)p;
	return 0;
}
