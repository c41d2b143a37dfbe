"""A rewritten guest that overwrites its own shadow stack, word by word, and puts it right again.

Without orders it does nothing of the kind (so a rewrite's proof by execution passes): ``arm`` writes into its
data where its shadow stack is, which only the rewrite map and the machine know.  Places as in
tests.engine.smash_forms: at BOTH some words are the entry of a live call and others are not; HIT and HEAL
belong to the pointer.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lab.images.image import Image, load_image
from lab.layout import Flavour, Policy, RewriteMap
from lab.machine.machine import Machine
from lab.proposals import pac, xray
from lab.rewriting import rewrite_file
from tests.support import compile_c

#: How the guest gets at the pointer.  Only what is named as a setjmp or longjmp may touch x18.
_IN_REGISTER = """
__asm__(".text\\n.globl peek_setjmp\\n.type peek_setjmp, %function\\npeek_setjmp: mov x0, x18\\n ret\\n"
        ".size peek_setjmp, . - peek_setjmp\\n.globl poke_longjmp\\n.type poke_longjmp, %function\\n"
        "poke_longjmp: mov x18, x0\\n ret\\n.size poke_longjmp, . - poke_longjmp");
u64 peek_setjmp(void);
void poke_longjmp(u64);
#define POINTER() peek_setjmp()
#define POINT(value) poke_longjmp(value)
"""
_IN_MEMORY = """
#define POINTER() (*(volatile u64 *)shadow_cell)
#define POINT(value) (*(volatile u64 *)shadow_cell = (value))
"""

_SOURCE = """
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;
typedef u64 pair __attribute__((vector_size(16), aligned(1), may_alias));
typedef u64 odd __attribute__((aligned(1), may_alias));
#define NOINLINE __attribute__((noinline))
#define PLACE(name) __asm__ volatile(name ": nop" ::: "memory")

/* Orders: where the words begin, or how far below the stack; how many; the pointer's cell; whether to move it. */
volatile u64 shadow_base, shadow_distance, shadow_words, shadow_cell, shadow_moves;
u64 __unwindlab_ssp __attribute__((section(".data"), used));
@POINTER@
NOINLINE long leaf(long x) { __asm__ volatile("" ::: "memory"); return x * 3 + 1; }
NOINLINE long probe(long x) { long r = leaf(x); __asm__ volatile("" ::: "memory"); return r + leaf(r); }

NOINLINE long overwrite(volatile u64 *word)
{
	u64 good = *word;
	volatile u8 *bytes = (volatile u8 *)word;
	volatile u32 *halves = (volatile u32 *)word;
	pair both = *(pair *)(word - 1), wrong = both;
	u64 across = *(volatile odd *)(bytes - 5);

	bytes[1] ^= 0x40;
	PLACE("both_0");
	probe(1);
	*word = good;
	PLACE("heal_0");
	halves[0] ^= 0x01010101;
	PLACE("both_1");
	probe(2);
	halves[0] ^= 0x01010101;
	PLACE("heal_1");
	*word = ~good;
	PLACE("both_2");
	probe(3);
	for (int i = 0; i < 8; i++)
		bytes[i] = (u8)(good >> 8 * i);
	PLACE("heal_2");
	wrong[1] += 4;
	*(pair *)(word - 1) = wrong;
	PLACE("both_3");
	probe(4);
	*(pair *)(word - 1) = both;
	PLACE("heal_3");
	*(volatile odd *)(bytes - 5) = across ^ (1ul << 40);
	PLACE("both_4");
	probe(5);
	*(volatile odd *)(bytes - 5) = across;
	PLACE("heal_4");
	return probe(6);
}

NOINLINE long move(u64 base)
{
	u64 good = POINTER();
	volatile u64 *top = (volatile u64 *)(good - 8);
	u64 entry = *top;

	PLACE("heal_5");
	POINT(base);
	PLACE("hit_5");
	POINT(good + 4);
	PLACE("hit_6");
	POINT(base - 8);
	PLACE("hit_7");
	POINT(good);
	PLACE("heal_6");
	POINT(good - 8);
	PLACE("hit_8");
	probe(7);
	PLACE("hit_9");
	POINT(good);
	PLACE("hit_10");
	*top = entry;
	PLACE("heal_7");
	return probe(8);
}

NOINLINE long smash(void)
{
	u64 base = shadow_distance ? ((u64)__builtin_frame_address(0) & ~7ul) - shadow_distance : shadow_base;

	for (u64 i = 0; i < shadow_words; i++)
		overwrite((volatile u64 *)base + i);
	if (shadow_moves)
		move(base);
	return probe(9);
}

NOINLINE long deep(long depth)
{
	long r = depth ? deep(depth - 1) : smash();
	__asm__ volatile("" ::: "memory");
	return r;
}
int test_main(void) { deep(6); probe(1); return 0; }
"""


@dataclass(frozen=True)
class ShadowCase:
    """One way to get a shadow stack."""

    arch: str
    mode: str
    flavour: Flavour
    policy: Policy

    @property
    def title(self) -> str:
        return f"{self.arch}-{self.mode}-{self.flavour.value}-{self.policy.value}"


_WAYS = [("aarch64", mode, flavour) for mode in ("pac", "xray") for flavour in Flavour]
_WAYS += [("x86_64", "xray", flavour) for flavour in (Flavour.PARALLEL, Flavour.MEMORY)]

#: Every rewriter and flavour with policy ``record``, and two that act on what they find.
CASES = (
    *(ShadowCase(*way, Policy.RECORD) for way in _WAYS),
    ShadowCase("aarch64", "pac", Flavour.REGISTER, Policy.USE),
    ShadowCase("x86_64", "xray", Flavour.MEMORY, Policy.CHECK),
)


@cache
def shadow_program(case: ShadowCase) -> tuple[Image, RewriteMap]:
    """The rewritten guest and its map; it lies beside the image it was made from."""
    flags = {"pac": pac.FLAGS, "xray": xray.FLAGS}[case.mode]
    source = _SOURCE.replace("@POINTER@", _IN_REGISTER if case.flavour is Flavour.REGISTER else _IN_MEMORY)
    plain: Path = compile_c(case.arch, source, *flags.get("", ()), *flags.get(case.arch, ())).path
    out = plain.with_name(f"{case.title}.elf")
    rewrite = rewrite_file(plain, out, case.mode, case.flavour, case.policy)
    return load_image(out), rewrite


def arm(machine: Machine, rewrite: RewriteMap) -> None:
    """Tell the guest in *machine*, loaded and not yet run, where its shadow stack is: now it will smash it."""
    layout = rewrite.layout
    orders = {
        "shadow_base": machine.shadow_bounds[0],
        "shadow_distance": layout.distance or 0,
        "shadow_words": 40 if layout.distance else 14,
        "shadow_cell": layout.cell or 0,
        "shadow_moves": int(layout.distance is None and layout.policy is Policy.RECORD),
    }
    for name, value in orders.items():
        machine.memory.write(machine.image.symbols[name], struct.pack("<Q", value))
