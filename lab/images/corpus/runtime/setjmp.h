/* setjmp for the corpus.  Not musl's layout: two words more, see setjmp_*.S. */
#ifndef LAB_SETJMP_H
#define LAB_SETJMP_H

typedef unsigned long jmp_buf[24];

int setjmp(jmp_buf buffer) __attribute__((returns_twice));
_Noreturn void longjmp(jmp_buf buffer, int value);

#endif
