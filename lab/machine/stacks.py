"""The stacks of a guest that has several, and what its context switch saves: read from symbols of the image.

An image without ``lab_stacks`` has the machine's own stack alone.  ``lab_stacks`` is an array of six 64-bit words
{low, high, shadow low, shadow high, kind, owner}, ended by low = 0; ``lab_task_layout`` the offsets {fp, sp, pc, ssp,
flags, regs, cell} in a task's struct.  Where the switch leaves a task's FP and PC on its stack, ``lab_switch_frame``
gives {fp, pc} as offsets from the saved SP (x86-64; Linux calls it inactive_task_frame).
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from lab.errors import InputError
from lab.images.image import Image

MOST_STACKS = 256
_ENTRY = struct.Struct("<6Q")


class StackKind(enum.IntEnum):
    """Whose a stack is; the numbers are those in the image."""

    MACHINE = 0  # the one every guest starts on
    TASK = 1
    IRQ = 2
    USER = 3


class GuestStack(NamedTuple):
    """[low, high) and its shadow stack, in bytes; ``owner``: of a task's, the address of its struct."""

    low: int
    high: int
    shadow_low: int = 0
    shadow_high: int = 0
    kind: StackKind = StackKind.MACHINE
    owner: int = 0


class TaskLayout(NamedTuple):
    """Offsets, in bytes, in a task's struct: what the context switch saved (``ssp`` the shadow-stack register, ``cell``
    the pointer of a shadow stack that keeps it in memory), the flags word and the pointer to the task's own pt_regs."""

    fp: int
    sp: int
    pc: int
    ssp: int
    flags: int
    regs: int
    cell: int


class SwitchFrame(NamedTuple):
    """Offsets, in bytes, from the saved SP, of the FP and PC that the switch left on the stack."""

    fp: int
    pc: int


@dataclass(frozen=True)
class Tasks:
    """What an image says of its tasks.  ``current``: the address of the word that holds the running task's struct.
    ``switched``: the instruction at which SP is the next task's and all of the previous one is saved."""

    layout: TaskLayout
    frame: SwitchFrame | None
    current: int
    switched: int


def guest_stacks(image: Image, machine: tuple[int, int]) -> tuple[GuestStack, ...]:
    """The *machine*'s own stack [low, high), then those of the image.  InputError where the array is damaged."""
    found = [GuestStack(*machine)]
    address = image.symbols.get("lab_stacks")
    while address is not None:
        low, high, shadow_low, shadow_high, kind, owner = _ENTRY.unpack(image.read(address, _ENTRY.size))
        if low == 0:
            break
        if len(found) > MOST_STACKS or not 0 < kind < len(StackKind) or not low < high or (low | high) & 15:
            raise InputError(f"{image.path}: lab_stacks: entry {len(found) - 1} describes no stack; see {__name__}")
        found.append(GuestStack(low, high, shadow_low, shadow_high, StackKind(kind), owner))
        address += _ENTRY.size
    for left, right in pairwise(sorted(found)):
        if left.high >= right.low:
            raise InputError(f"{image.path}: lab_stacks: stacks meet at {right.low:#x}; leave a gap between them")
    return tuple(found)


def kernel_stacks(image: Image, machine: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """[low, high) of the stacks that a walk may be on: all but those of user mode."""
    return tuple((s.low, s.high) for s in guest_stacks(image, machine) if s.kind is not StackKind.USER)


def tasks_of(image: Image) -> Tasks | None:
    """What *image* says of its tasks, None where it has none.  InputError where it says it in part only."""
    names = ("lab_task_layout", "lab_current", "lab_switched")
    have = [name for name in names if name in image.symbols]
    if not have:
        return None
    missing = [name for name in names if name not in have]
    if missing:
        raise InputError(f"{image.path}: an image with tasks needs the symbol {missing[0]}; see {__name__}")
    layout = TaskLayout(*struct.unpack("<7Q", image.read(image.symbols["lab_task_layout"], 56)))
    at_frame = image.symbols.get("lab_switch_frame")
    frame = None if at_frame is None else SwitchFrame(*struct.unpack("<2Q", image.read(at_frame, 16)))
    return Tasks(layout, frame, image.symbols["lab_current"], image.symbols["lab_switched"])
