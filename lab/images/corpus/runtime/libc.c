/* What is left of a libc around musl's sources: one thread, the C locale, no files. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "rt.h"

/* musl spells these hidden in internal headers. */
int *___errno_location(void);
void __lock(volatile int *);
void __unlock(volatile int *);
int __lockfile(FILE *);
void __unlockfile(FILE *);
const char *__lctrans(const char *, const void *);
const char *__lctrans_cur(const char *);
size_t __ctype_get_mb_cur_max(void);
void __stdio_exit_needed(void);

static int error_number;

int *__errno_location(void)
{
	return &error_number;
}

int *___errno_location(void)
{
	return &error_number;
}

void __lock(volatile int *lock)
{
	*lock = 1;
}

void __unlock(volatile int *lock)
{
	*lock = 0;
}

int __lockfile(FILE *file)
{
	(void)file;
	return 0;
}

void __unlockfile(FILE *file)
{
	(void)file;
}

const char *__lctrans(const char *message, const void *map)
{
	(void)map;
	return message;
}

const char *__lctrans_cur(const char *message)
{
	return message;
}

/* Streams are flushed at exit by a file this libc does not have: nothing here writes to a descriptor. */
void __stdio_exit_needed(void)
{
}

char *strerror(int code)
{
	(void)code;
	return "error";
}

/* The C locale: a character is a byte; bytes above 127 are no characters. */
size_t __ctype_get_mb_cur_max(void)
{
	return 1;
}

int mbtowc(wchar_t *restrict wide, const char *restrict s, size_t limit)
{
	if (!s)
		return 0;
	if (!limit || *(const u8 *)s > 127) {
		errno = EILSEQ;
		return -1;
	}
	if (wide)
		*wide = *(const u8 *)s;
	return *s != 0;
}

size_t mbrtowc(wchar_t *restrict wide, const char *restrict s, size_t limit, mbstate_t *restrict state)
{
	(void)state;
	if (s && !limit)
		return (size_t)-2;
	return (size_t)mbtowc(wide, s, limit);
}

int mbsinit(const mbstate_t *state)
{
	(void)state;
	return 1;
}

int mblen(const char *s, size_t limit)
{
	return mbtowc(0, s, limit);
}

int wctomb(char *s, wchar_t wide)
{
	if (!s)
		return 0;
	if ((u32)wide > 127) {
		errno = EILSEQ;
		return -1;
	}
	*s = (char)wide;
	return 1;
}

/* strtoul is not among the wheel's C sources.  Base 0, 8, 10 or 16; saturates with ERANGE. */
unsigned long strtoul(const char *restrict s, char **restrict end, int base)
{
	const char *p = s, *digits;
	u64 value = 0;
	int negative, over = 0;

	while (*p == ' ' || (u8)(*p - '\t') < 5)
		p++;
	negative = *p == '-';
	p += *p == '-' || *p == '+';
	if ((base == 0 || base == 16) && p[0] == '0' && (p[1] | 32) == 'x')
		base = 16, p += 2;
	else if (base == 0)
		base = *p == '0' ? 8 : 10;
	for (digits = p;; p++) {
		u32 digit = (u8)(*p - '0') < 10 ? *p - '0' : (u8)((*p | 32) - 'a') < 26 ? (*p | 32) - 'a' + 10 : 36;
		u64 next;
		if (digit >= (u32)base)
			break;
		over |= __builtin_mul_overflow(value, (u64)base, &next) || __builtin_add_overflow(next, digit, &value);
	}
	if (end)
		*end = (char *)(p == digits ? s : p);
	if (over) {
		errno = ERANGE;
		return ~0ul;
	}
	return negative ? -value : value;
}

/* Shell sort: short, no recursion, calls through the pointer like any other qsort. */
void qsort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *))
{
	u8 *items = base;
	size_t gap = 1;

	while (gap < count / 3)
		gap = 3 * gap + 1;
	for (; gap; gap /= 3)
		for (size_t i = gap; i < count; i++)
			for (size_t j = i; j >= gap && compare(items + (j - gap) * size, items + j * size) > 0; j -= gap)
				for (size_t k = 0; k < size; k++) {
					u8 byte = items[j * size + k];
					items[j * size + k] = items[(j - gap) * size + k];
					items[(j - gap) * size + k] = byte;
				}
}
