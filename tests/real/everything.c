/*
 * One program with everything that makes rewriting a static image hard, and a digest of all it computed.
 *
 * Jump tables, computed goto, tail calls, recursion, function pointers, callbacks from the C library, setjmp and longjmp
 * (out of a callback too), signal handlers (nested, with siginfo, and left by siglongjmp), thread-local variables,
 * variable-length arrays, an alternate signal stack, floating point across a signal, files, and printf and strtod.
 * Arguments choose how it ends: none: exit 0; N: exit status N; "abort": SIGABRT; "deep": recursion in a callback.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef __clang__
#define OWN __attribute__((noinline))
#else
#define OWN __attribute__((noinline, noclone))
#endif

static __thread uint64_t digest = 0xcbf29ce484222325u;
static __thread int depth;
static jmp_buf back;
static sigjmp_buf out_of_handler;
static volatile sig_atomic_t handled;
static volatile uint64_t order;

OWN static void note(uint64_t value)
{
	for (int i = 0; i < 8; i++, value >>= 8)
		digest = (digest ^ (value & 0xff)) * 0x100000001b3u;
}

OWN static void notes(const char *text)
{
	while (*text)
		note((unsigned char)*text++);
}

OWN static long switched(int which, long x)
{
	switch (which) {
	case 0: return x + 17;
	case 1: return x * 3;
	case 2: return x ^ 0x5a5a;
	case 3: notes("three"); return x - 1;
	case 4: return x << 3;
	case 5: return x / 7;
	case 6: note(x); return x % 11;
	case 7: return ~x;
	case 8: return x > 100 ? x : -x;
	case 9: return x & 0xff;
	default: return which;
	}
}

OWN static long machine(const unsigned char *code, long x)
{
	static const void *const labels[] = { &&add, &&twice, &&swap, &&stop };
	long y = 1;

	goto *labels[*code++ & 3];
add:	x += y;
	goto *labels[*code++ & 3];
twice:	y *= 2;
	goto *labels[*code++ & 3];
swap:	x ^= y; y ^= x; x ^= y;
	goto *labels[*code++ & 3];
stop:	return x * 1000 + y;
}

OWN static long last(long a, long b) { return switched((int)(a & 15), b) + depth; }
OWN static long middle(long a, long b) { return last(a + 1, b * 2); }
OWN static long first(long a) { return a & 1 ? middle(a, 3) : last(a, 5); }

OWN static int odd(unsigned n);
OWN static int even(unsigned n) { return n == 0 ? 1 : odd(n - 1); }
OWN static int odd(unsigned n) { return n == 0 ? 0 : even(n - 1); }

OWN static uint64_t ackermann(uint64_t m, uint64_t n)
{
	if (m == 0)
		return n + 1;
	return ackermann(m - 1, n == 0 ? 1 : ackermann(m, n - 1));
}

typedef long (*unary)(long);
OWN static long plus(long x) { return x + 1; }
OWN static long square(long x) { return x * x; }
static unary choices[] = { plus, square, first };

OWN static long apply(unary f, long x) { return f(x); }

static int by_value(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	depth++;
	return (x > y) - (x < y);
}

static int by_value_or_leave(const void *a, const void *b)
{
	if (depth++ > 40)
		longjmp(back, depth);
	return by_value(a, b);
}

OWN static void sorted(int (*compare)(const void *, const void *), int count)
{
	int values[count];

	for (int i = 0; i < count; i++)
		values[i] = (i * 7919 + 13) % 1009;
	qsort(values, count, sizeof *values, compare);
	for (int i = 0; i < count; i += 7)
		note(values[i]);
}

OWN static void down(int n)
{
	char room[n + 1];

	memset(room, n, sizeof room);
	if (n == 0)
		longjmp(back, 42);
	if (n > 0)
		down(n - 1);
	note(room[n]);
}

OWN static char *formatted(char *buffer, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(buffer, size, format, arguments);
	va_end(arguments);
	return buffer;
}

static void plain_handler(int number) { handled += number; order = order * 10 + 1; }

static void info_handler(int number, siginfo_t *info, void *context)
{
	double spoil = (double)number;

	for (int i = 0; i < 20; i++)
		spoil = spoil * 1.5 + 1.0 / (i + 1);
	note(spoil > 1 && context != NULL);
	note(info->si_signo == number && info->si_pid == getpid());
	order = order * 10 + 2;
	raise(SIGUSR1);
	order = order * 10 + 3;
}

static void leaving_handler(int number) { siglongjmp(out_of_handler, number); }

OWN static void with_signals(void)
{
	struct sigaction action = { .sa_sigaction = info_handler, .sa_flags = SA_SIGINFO };
	sigset_t set, old;

	signal(SIGUSR1, plain_handler);
	sigaction(SIGUSR2, &action, NULL);
	double before = 0.1;
	for (int i = 0; i < 3; i++) {
		before = before * 3.25 + i;
		raise(SIGUSR2);
	}
	note((uint64_t)(before * 1000));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR2);
	raise(SIGUSR1);
	note(order);
	sigprocmask(SIG_SETMASK, &old, NULL);
	note(order);
	signal(SIGTERM, leaving_handler);
	for (volatile int i = 0; i < 2; i++) {
		int number = sigsetjmp(out_of_handler, 1);
		if (!number)
			raise(SIGTERM);
		note(number);
	}
	note(handled);
	printf("signals %d, order %llu\n", (int)handled, (unsigned long long)order);
}

OWN static void with_numbers(void)
{
	char buffer[200], *end;
	double sum = 0;

	for (int i = 1; i < 60; i++)
		sum += 1.0 / ((double)i * i);
	notes(formatted(buffer, sizeof buffer, "%.15f %e %g %a %5d|%-8s|%#x", sum, sum * 1e10, 1e-5, 0.75, -42, "left", 255));
	puts(buffer);
	notes(formatted(buffer, sizeof buffer, "%.10g %ld", strtod("3.25e3rest", &end), strtol("-0x7f", NULL, 0)));
	puts(buffer);
	notes(end);
	notes(formatted(buffer, sizeof buffer, "%Lg", 1.0L / 3));
	puts(buffer);
}

OWN static void with_files(void)
{
	char line[64];
	struct stat status;
	FILE *file = fopen("everything.tmp", "w+");

	if (!file) {
		printf("no file: %s\n", strerror(errno));
		return;
	}
	for (int i = 0; i < 50; i++)
		fprintf(file, "line %d\n", i);
	rewind(file);
	int lines = 0;
	while (fgets(line, sizeof line, file))
		lines++;
	fstat(fileno(file), &status);
	fclose(file);
	note(lines);
	note(status.st_size);
	int removed = unlink("everything.tmp"), again = unlink("everything.tmp");
	printf("files %d lines, %ld bytes, unlink %d, again %d\n", lines, (long)status.st_size, removed, again);
}

int main(int argc, char **argv)
{
	static const unsigned char code[] = { 1, 1, 0, 2, 0, 1, 2, 0, 3 };
	char *volatile big;
	int jumped;

	for (int i = -1; i < 12; i++)
		note(switched(i, i * 1001));
	note(machine(code, 5));
	for (long i = 0; i < 30; i++)
		note(apply(choices[i % 3], i));
	note(even(100));
	note(ackermann(2, 6));
	sorted(by_value, 200);
	jumped = setjmp(back);
	if (!jumped)
		down(30);
	note(jumped);
	depth = 0;
	jumped = setjmp(back);
	if (!jumped)
		sorted(by_value_or_leave, 90);
	note(jumped);
	big = malloc(1 << 20);
	memset(big, 1, 1 << 20);
	big = realloc(big, 3 << 20);
	note(big[12345]);
	free(big);
	with_signals();
	with_numbers();
	with_files();
	note(clock() != (clock_t)-1 && time(NULL) > 0);
	for (int i = 1; i < argc; i++)
		notes(argv[i]);
	notes(getenv("EVERYTHING") ? getenv("EVERYTHING") : "unset");
	printf("digest %016llx\n", (unsigned long long)digest);
	fflush(stdout);
	if (argc > 1 && !strcmp(argv[1], "abort"))
		abort();
	return argc > 1 ? atoi(argv[1]) : 0;
}
