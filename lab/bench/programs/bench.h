/* What the bench programs share: how many rounds to run, and one round of a call-heavy mix. */
#ifndef LAB_BENCH_H
#define LAB_BENCH_H

#include "rt.h"

/*
 * Rounds of work; whoever loads the image may write another number here before it runs.  A round takes the same
 * number of instructions whatever the values are: branches depend on counters alone.
 */
volatile u64 unwindlab_rounds __attribute__((section(".data"))) = BENCH_ROUNDS;

/* A round: 32 calls of 11 functions, leaves and others, direct and through pointers, a call in 20 to 25 instructions. */
u64 bench_calls(u64 value);

#endif
