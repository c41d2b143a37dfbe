/* What a workload sees of the runtime.  Freestanding: no system headers. */
#ifndef LAB_RT_H
#define LAB_RT_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long s64;

/* Keeps a call a call: the shapes under test must survive -O2. */
#define NOINLINE __attribute__((noinline))
/* The compiler may assume nothing about x, nor about memory, past this point. */
#define OPAQUE(x) __asm__ volatile("" : "+r"(x))
#define BARRIER() __asm__ volatile("" ::: "memory")
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Nonzero for the large input.  Defined in an object of its own, so that the text of both sizes is the same. */
extern const u64 lab_large;

/* The cell for a shadow-stack pointer kept in memory; nothing here uses it except setjmp and longjmp. */
extern u64 __unwindlab_ssp;

/* The workload: returns its result.  large is lab_large. */
u64 lab_main(u64 large);

/* Prints "failed: what" and exits with status 1 unless ok. */
void lab_check(int ok, const char *what);
/* Prints the result line, as the runtime does with lab_main's. */
void lab_report(u64 result);

/* FNV-1a over the eight bytes of value, or over size bytes; start from LAB_SEED. */
#define LAB_SEED 0xcbf29ce484222325ul
u64 lab_mix(u64 digest, u64 value);
u64 lab_mix_bytes(u64 digest, const void *bytes, u64 size);
u64 lab_mix_text(u64 digest, const char *text);
int lab_same_text(const char *a, const char *b);
/* A deterministic sequence: the next value of a 64-bit linear congruential generator. */
u64 lab_next(u64 *state);

/* In assembly. */
void lab_write(const void *bytes, u64 size);
_Noreturn void lab_exit(u64 status);

#endif
