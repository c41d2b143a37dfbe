/* Entry, result and checks, the same for every workload. */
#include "rt.h"

/* In .data, not .bss: every image then has a writable segment with bytes in the file. */
u64 __unwindlab_ssp __attribute__((section(".data"), used));

static u64 text_size(const char *text)
{
	u64 size = 0;
	while (text[size])
		size++;
	return size;
}

NOINLINE void lab_report(u64 result)
{
	char line[26] = "result 0x";
	for (int i = 0; i < 16; i++)
		line[9 + i] = "0123456789abcdef"[result >> (60 - 4 * i) & 15];
	line[25] = '\n';
	lab_write(line, sizeof line);
}

NOINLINE void lab_check(int ok, const char *what)
{
	if (ok)
		return;
	lab_write("failed: ", 8);
	lab_write(what, text_size(what));
	lab_write("\n", 1);
	lab_exit(1);
}

/* Returns the exit status to _start, so that an ordinary run unwinds to the outermost frame before it ends. */
u64 lab_start(void)
{
	lab_report(lab_main(lab_large));
	return 0;
}

NOINLINE u64 lab_mix_bytes(u64 digest, const void *bytes, u64 size)
{
	const u8 *p = bytes;
	for (u64 i = 0; i < size; i++)
		digest = (digest ^ p[i]) * 0x100000001b3ul;
	return digest;
}

NOINLINE u64 lab_mix(u64 digest, u64 value)
{
	for (int i = 0; i < 8; i++)
		digest = (digest ^ (value >> 8 * i & 255)) * 0x100000001b3ul;
	return digest;
}

u64 lab_mix_text(u64 digest, const char *text)
{
	return lab_mix_bytes(digest, text, text_size(text) + 1);
}

int lab_same_text(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

u64 lab_next(u64 *state)
{
	*state = *state * 6364136223846793005ul + 1442695040888963407ul;
	return *state >> 33;
}
