"""Exact counts of one execution: retired instructions, calls, and instructions that load or store.

An instruction counts once as a load if it reads memory at all and once as a store if it writes: ``ldp`` is
one load, ``push [rsp]`` one of each, and a rep-prefixed string instruction one of whatever it does.  Loads
and stores are unicorn's memory events, not a decoder's opinion.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.arch.decode import Kind
from lab.engine.native.count_cells import C
from lab.engine.native.counting import NativeCounter
from lab.engine.native.tables import TooWideError
from lab.images.image import Image
from lab.layout import ShadowLayout
from lab.machine.machine import Limits, Machine, Outcome, Process


@dataclass(frozen=True)
class Counts:
    """Counts of one execution, and how it ended."""

    instructions: int
    calls: int
    loads: int
    stores: int
    outcome: Outcome


def count(image: Image, layout: ShadowLayout | None, limits: Limits, process: Process | None = None) -> Counts:
    """Run *image* once (as *process*, if it is a real program) and count, natively where its code fits the tables."""
    try:
        counter = NativeCounter(Machine(image, layout, limits, process))
    except TooWideError:
        return count_plainly(image, layout, limits, process)
    outcome = counter.run()
    return Counts(counter[C.INSTRUCTIONS], counter[C.CALLS], counter[C.LOADS], counter[C.STORES], outcome)


def count_plainly(image: Image, layout: ShadowLayout | None, limits: Limits, process: Process | None = None) -> Counts:
    """The same by Python hooks and the other decoder: what ``count`` is compared with."""
    machine = Machine(image, layout, limits, process)
    instructions = calls = loads = stores = 0
    was_call = loaded = stored = False

    def instruction(pc: int) -> None:
        nonlocal instructions, calls, was_call, loaded, stored
        instructions += 1
        calls += was_call  # a call counts once the next instruction is reached: it has retired
        was_call = machine.insn_at(pc).kind is Kind.CALL
        loaded = stored = False

    def access(is_write: bool, _address: int, _size: int) -> None:
        nonlocal loads, stores, loaded, stored
        if is_write:
            stores += not stored
            stored = True
        else:
            loads += not loaded
            loaded = True

    outcome = machine.execute(instruction, access)
    return Counts(instructions, calls, loads, stores, outcome)
