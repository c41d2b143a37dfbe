"""The yardstick: a frame-pointer walk in a plain Python hook, as it is written with unicorn's own binding today.

It judges nothing and counts nothing by program counter.  The benchmark compares its speed with that of the
lab's engines; nothing else uses it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import unicorn

from lab.machine.cpu import register_ids
from lab.machine.machine import Machine
from lab.machine.outcome import Clock, End, Outcome


@dataclass(frozen=True)
class PlainWalk:
    """How the run ended; the instructions that were walked at, the return addresses found, and what that took."""

    outcome: Outcome
    instructions: int
    frames: int
    spent: Clock


def walk_in_python(machine: Machine, first: int, instructions: int) -> PlainWalk:
    """Run *machine*, walking by frame pointer before each of *instructions* instructions from the first time *first*
    (an address) is about to execute; then the run ends, with BUDGET unless it ended before.

    The clock runs from there on only: what leads to *first* is hooked too, but not walked.  (Where the run ends before,
    it is the whole run's.)
    """
    hook = _Hook(machine, first, instructions)
    machine.cpu.hook_add(unicorn.UC_HOOK_CODE, hook.before)
    outcome = machine.execute_native(0, 0)
    return PlainWalk(outcome, hook.walked, hook.frames, hook.spent or machine.spent)


class _Hook:
    def __init__(self, machine: Machine, first: int, instructions: int) -> None:
        self.machine, self.first, self.instructions = machine, first, instructions
        self.frame_pointer = register_ids(machine.arch)[machine.arch.fp]
        self.walked = self.frames = 0
        self.began: Clock | None = None
        self.spent: Clock | None = None

    def before(self, uc: Any, pc: int, _size: int, _data: object) -> None:
        """Called before every instruction."""
        if self.began is None:
            if pc != self.first:
                return
            self.began = Clock.now()
        if self.walked == self.instructions:
            if self.spent is None:
                self.spent = Clock.now().since(self.began)
                self.machine.stop(End.BUDGET, None, f"{self.instructions} instructions")
            return
        self.walked += 1
        self.frames += len(_walk(uc, uc.reg_read(self.frame_pointer)))


def _walk(uc: Any, fp: int) -> list[int]:
    """The return addresses of the frame records from *fp* on, as long as each lies above the one before."""
    trace = []
    while fp:
        try:
            record = uc.mem_read(fp, 16)
        except unicorn.UcError:
            break
        older, ra = struct.unpack("<QQ", record)
        if ra == 0:
            break
        trace.append(ra)
        if older <= fp:
            break
        fp = older
    return trace
