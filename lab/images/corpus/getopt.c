/*
 * title: Command-line options
 * rows: 12 13 16
 * musl: misc/getopt.c misc/getopt_long.c stdio/fputs.c stdio/fwrite.c stdio/putc.c stdio/__overflow.c
 *       stdio/__towrite.c
 * expect: small 0xa9b160b0d4c3ea67 large 0x49cbe678ded35d2d
 *
 * musl's getopt_long with permuted arguments; its complaints go to a standard error stream that this program supplies,
 * and are checked too.
 */
#define _GNU_SOURCE
#include "stdio_impl.h"
#include <getopt.h>
#include <string.h>

#include "rt.h"

static char complaint[128];
static u64 complained;
static u8 buffer[32];

static size_t complain(FILE *stream, const u8 *bytes, size_t size)
{
	u64 held = (u64)(stream->wpos - stream->wbase);

	memcpy(complaint + complained, stream->wbase, held);
	memcpy(complaint + complained + held, bytes, size);
	complained += held + size;
	stream->wpos = stream->wbase;
	return size;
}

FILE __stderr_FILE = { .write = complain, .lock = -1, .buf = buffer, .buf_size = sizeof buffer, .lbf = -1 };

static const struct option options[] = {
	{ "verbose", no_argument, 0, 'v' },
	{ "output", required_argument, 0, 'o' },
	{ "level", optional_argument, 0, 'l' },
	{ 0 },
};

static u64 parse(int count, char *const *words, const char *expected)
{
	char seen[16];
	u64 used = 0, digest = LAB_SEED;

	optind = 0;
	complained = 0;
	for (int found; (found = getopt_long(count, words, "vo:l::", options, 0)) != -1;) {
		seen[used++] = (char)found;
		if (optarg)
			digest = lab_mix_text(digest, optarg);
		optarg = 0;
	}
	seen[used] = 0;
	lab_check(lab_same_text(seen, expected), expected);
	return lab_mix(digest, (u64)optind);
}

u64 lab_main(u64 large)
{
	u64 digest = LAB_SEED, rounds = large ? 500 : 1;

	for (u64 round = 0; round < rounds; round++) {
		char *good[] = { "lab", "file", "-v", "--output=x", "-l3", "more", "--level", "--", "-v", 0 };
		char *bad[] = { "lab", "-z", "--outpu", "y", "--quiet", 0 };
		digest = lab_mix(digest, parse(9, good, "voll"));
		lab_check(optind == 6 && lab_same_text(good[6], "file"), "operands come last");
		digest = lab_mix(digest, parse(5, bad, "?o?"));
		complain(&__stderr_FILE, buffer, 0);
		complaint[complained] = 0;
		lab_check(lab_same_text(complaint, "lab: unrecognized option: z\nlab: unrecognized option: quiet\n"), complaint);
	}
	return digest;
}
