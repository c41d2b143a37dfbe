/* The string functions musl's sources call. */
#include <string.h>
#include <strings.h>

#include "rt.h"

size_t strlen(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}

size_t strnlen(const char *s, size_t limit)
{
	size_t n = 0;
	while (n < limit && s[n])
		n++;
	return n;
}

int strcmp(const char *l, const char *r)
{
	for (; *l && *l == *r; l++, r++)
		;
	return *(const u8 *)l - *(const u8 *)r;
}

int strncmp(const char *l, const char *r, size_t n)
{
	for (; n && *l && *l == *r; l++, r++, n--)
		;
	return n ? *(const u8 *)l - *(const u8 *)r : 0;
}

char *strchr(const char *s, int c)
{
	for (; *s != (char)c; s++)
		if (!*s)
			return 0;
	return (char *)s;
}

char *strcpy(char *restrict to, const char *restrict from)
{
	memcpy(to, from, strlen(from) + 1);
	return to;
}

size_t strspn(const char *s, const char *accept)
{
	size_t n = 0;
	while (s[n] && strchr(accept, s[n]))
		n++;
	return n;
}
