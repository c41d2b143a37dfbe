"""C programs that smash frame records through ``__builtin_frame_address``, the same text for both architectures.

HIT(n), HEAL(n) and SAME(n) are places as in tests.engine.smash_forms; each is a no-op with a label.
"""

from __future__ import annotations

_PRELUDE = """
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;
#define NOINLINE __attribute__((noinline))
#define PLACE(kind, n) __asm__ volatile(kind "_" #n ": nop" ::: "memory")
#define HIT(n) PLACE("hit", n)
#define HEAL(n) PLACE("heal", n)
#define SAME(n) PLACE("same", n)
#define BARRIER() __asm__ volatile("" ::: "memory")

NOINLINE long leaf(long x) { BARRIER(); return x * 3 + 1; }
NOINLINE long probe(long x) { long r = leaf(x); BARRIER(); return r + leaf(r); }
#define RECORD(levels) ({ u64 *r = __builtin_frame_address(0); for (int n = levels; n; n--) r = (u64 *)r[0]; r; })
"""

_SCALARS = """
NOINLINE long smash(int levels)
{
	volatile u64 *record = RECORD(levels);
	u64 fp = record[0], ra = record[1];

	record[1] = ~ra;
	HIT(0);
	probe(1);
	*(volatile u32 *)&record[1] = (u32)ra;
	*((volatile u32 *)&record[1] + 1) = (u32)(ra >> 32);
	HEAL(0);
	probe(2);
	for (int i = 0; i < 4; i++)
		((volatile u8 *)record)[i] = 0x33;
	HIT(1);
	probe(3);
	record[0] = fp;
	HEAL(1);
	__atomic_fetch_xor((u64 *)&record[1], 0x1234, __ATOMIC_SEQ_CST);
	HIT(2);
	probe(4);
	__atomic_exchange_n((u64 *)&record[1], ra, __ATOMIC_SEQ_CST);
	HEAL(2);
	return probe(5);
}
"""

_BLOCKS = """
struct block { u64 words[16]; };
static struct block kept, wrong;
NOINLINE void copy(struct block *to, const struct block *from) { *to = *from; BARRIER(); }
NOINLINE void fill(struct block *to, u64 value) { for (int i = 0; i < 16; i++) to->words[i] = value + i; BARRIER(); }

NOINLINE long smash(int levels)
{
	volatile u64 pad[16];
	struct block *around;

	for (int i = 0; i < 16; i++)
		pad[i] = i;
	around = (struct block *)((u64 *)RECORD(levels) - 2);
	copy(&kept, around);
	wrong = kept;
	wrong.words[2] = (u64)pad;
	wrong.words[3] = (u64)smash;
	BARRIER();
	*around = wrong;
	HIT(0);
	probe(pad[3]);
	*around = kept;
	HEAL(0);
	return probe(pad[4]);
}
"""

_DEEP = """
NOINLINE long deep(long depth, int levels)
{
	long r = depth ? deep(depth - 1, levels) : smash(levels);
	BARRIER();
	return r + 1;
}
int test_main(void) { deep(9, 0); deep(9, 1); deep(9, 4); deep(9, 8); return 0; }
"""

_FIB = """
static volatile u64 *victim;
static u64 truth;

NOINLINE long fib(long n)
{
	if (n == 1 && !truth) {
		victim = RECORD(2);
		truth = victim[1];
		victim[1] = truth + 4;
		HIT(0);
	} else if (n == 0 && truth) {
		victim[1] = truth;
		truth = 0;
		HEAL(0);
	}
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}
int test_main(void) { return fib(7) != 13; }
"""

_ALLOCA = """
NOINLINE long room(u64 size, long depth)
{
	volatile u8 *bytes = __builtin_alloca(size);
	volatile u64 *record = RECORD(0);
	u64 ra = record[1];

	for (u64 i = 0; i < size; i += 64)
		bytes[i] = (u8)i;
	record[1] = (u64)bytes;
	HIT(0);
	probe(bytes[0]);
	record[1] = ra;
	HEAL(0);
	return depth ? room(size * 2, depth - 1) + bytes[64] : probe(bytes[64]);
}
int test_main(void) { room(128, 4); return 0; }
"""

_SORT = """
static long numbers[12] = {5, 3, 9, 1, 12, 7, 7, 2, 30, 4, 0, 8};
NOINLINE int ascending(const long *a, const long *b) { return *a > *b; }
NOINLINE int descending(const long *a, const long *b) { return *a < *b; }
NOINLINE void sort(long *v, int n, int (*before)(const long *, const long *))
{
	for (int i = 1; i < n; i++)
		for (int j = i; j && before(&v[j - 1], &v[j]); j--) {
			long kept = v[j];
			v[j] = v[j - 1];
			v[j - 1] = kept;
		}
}
int test_main(void)
{
	int (*volatile order)(const long *, const long *) = ascending;
	long local[12];

	for (int i = 0; i < 12; i++)
		local[i] = numbers[i];
	sort(local, 12, order);
	order = descending;
	sort(numbers, 12, order);
	SAME(0);
	return local[0] != 0 || numbers[0] != 30;
}
"""

#: Name -> C source.
SOURCES = {
    "c-scalars": _PRELUDE + _SCALARS + _DEEP,
    "c-blocks": _PRELUDE + _BLOCKS + _DEEP,
    "c-recursion": _PRELUDE + _FIB,
    "c-alloca": _PRELUDE + _ALLOCA,
    "c-callbacks": _PRELUDE + _SORT,
}
