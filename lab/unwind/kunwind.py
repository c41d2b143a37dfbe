"""What the arm64 kernel's walks share: which records may be consumed, and what a metadata record says.

A record is consumed where it lies whole on a known stack and not in what was passed already; a metadata record PT_REGS
with the whole pt_regs that it is the end of.  A walk that leaves a
stack never comes back to it, and it leaves one only from or to the IRQ stack: other tasks' stacks are not known to it.

Source: Linux v6.13 arch/arm64/include/asm/stacktrace/common.h (unwind_consume_stack, unwind_find_stack).
"""

from __future__ import annotations

from lab.unwind.api import Cursor, Mem, load64, stack_end, stack_of

FINAL, PT_REGS = 1, 2
OTHER = 0
RECORD, WITH_TYPE = 16, 24
"""Bytes of a frame record, and of one with a type."""


def lies_on(mem: Mem, address: int, size: int) -> int:
    """The lowest address of the stack that holds all of [address, address + size); 0 where none does."""
    low = stack_of(mem, address)
    if low == 0 or address > stack_end(mem, address) - size:
        return 0
    return low


def may_move(mem: Mem, here: int, stack: int, left: int) -> bool:
    """Whether a walk on *stack* (0: on none yet) that has left *left* may go on on the stack *here*."""
    return stack == 0 or (here != left and mem.irq_low in (here, stack))


def reach(mem: Mem, address: int, size: int, place: Cursor) -> int:
    """The lowest address of the stack on which [address, address + size) may be consumed by a walk at *place* (fp,
    lowest address not yet passed, the stack at hand and the one left before it); 0 where it may not."""
    _, low, stack, left = place
    here = lies_on(mem, address, size)
    if here == stack:
        return here if address >= low else 0
    return here if here != 0 and may_move(mem, here, stack, left) else 0


def kind_of(mem: Mem, fp: int) -> int:
    """FINAL or PT_REGS for the metadata record {0, 0} at *fp*; OTHER where it is neither, or FINAL in a wrong place."""
    if lies_on(mem, fp, WITH_TYPE) == 0:
        return OTHER
    kind = load64(mem, fp + 16)
    if kind == PT_REGS and mem.metadata_offset != 0:
        return PT_REGS
    if kind == FINAL and fp == mem.final_record:
        return FINAL
    return OTHER
