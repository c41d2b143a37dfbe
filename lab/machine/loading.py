"""What lies where in guest memory: the image's segments, stack, shadow stack, and a process's arena."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

from lab.errors import InputError
from lab.images.image import Image, Segment
from lab.images.rawelf import PF_W, PF_X
from lab.layout import Flavour, ShadowLayout
from lab.machine.linux.pages import ARENA, SHADOW_MARGIN, SHADOW_NAME
from lab.machine.linux.process import Process
from lab.machine.linux.start import STACK_SIZE as PROCESS_STACK_SIZE
from lab.machine.linux.start import lay_stack, map_arena, map_trampoline
from lab.machine.memory import PAGE, GuestMemory

# With the MMU off an AArch64 address is a physical one, and at EL1 unicorn faults on those near 2^47.
STACK_TOP = 0x7F_F000_0000
STACK_SIZE = 1 << 20
ENVIRONMENT_SHADOW = 0x7F_D000_0000
ENVIRONMENT_SHADOW_SIZE = 1 << 16
HARDWARE_SHADOW = 0x7F_C800_0000


@dataclass(frozen=True, slots=True)
class Space:
    """A machine's memory once it is laid out.  ``trampoline``: where signal handlers return to, 0 where nowhere."""

    stack_low: int
    stack_pages: mmap.mmap
    initial_sp: int
    trampoline: int


def lay_out(memory: GuestMemory, image: Image, layout: ShadowLayout | None, process: Process | None) -> Space:
    """Map all that the guest will ever have: the image, a stack with what it starts with, the shadow stack's storage,
    and for a process its arena.  InputError where the image cannot start so."""
    map_image(memory, image)
    trampoline = 0
    if process is not None:
        map_arena(memory)
        trampoline = map_trampoline(memory, image)
    size = STACK_SIZE if process is None else PROCESS_STACK_SIZE
    stack = memory.add(STACK_TOP - size, size, "stack", writable=True, executable=False)
    map_shadow(memory, image, layout, stack.start, 0 if process is None else SHADOW_MARGIN)
    sp = STACK_TOP - 64 if process is None else lay_stack(memory, image, process, STACK_TOP)
    return Space(stack.start, stack.pages, sp, trampoline)


def map_image(memory: GuestMemory, image: Image) -> None:
    """Map every PT_LOAD.  Segments that share a page get one mapping with the union of their rights.

    InputError for an image with a segment on the null page or where the machine keeps its own memory.
    """
    groups: list[tuple[int, int, bool, bool, list[Segment]]] = []
    for segment in image.segments:
        low = segment.address // PAGE * PAGE
        high = -(-segment.end // PAGE) * PAGE
        writable, executable = bool(segment.flags & PF_W), bool(segment.flags & PF_X)
        if groups and low < groups[-1][1]:
            start, _, old_w, old_x, members = groups.pop()
            groups.append((start, high, old_w or writable, old_x or executable, [*members, segment]))
        else:
            groups.append((low, high, writable, executable, [segment]))
    if groups[0][0] == 0 or groups[-1][1] > ARENA:
        raise InputError(f"{image.path}: segment at an address the machine keeps for itself")
    for low, high, writable, executable, members in groups:
        memory.add(low, high - low, "image", writable=writable, executable=executable)
        for segment in members:
            memory.write(segment.address, segment.data)


def map_shadow(memory: GuestMemory, image: Image, layout: ShadowLayout | None, stack_low: int, margin: int = 0) -> None:
    """Map the shadow stack that *layout* leaves to the machine, if it does; after image and stack.

    A parallel one has *margin* bytes more at both ends: a process that maps it itself does so by its own idea of the
    stack, and finds it closed before (``lab.machine.linux.pages``).

    InputError where the layout names no register of the architecture, or a place that is taken.
    """
    if layout is None:
        return
    if layout.register is not None and layout.register not in image.arch.gprs:
        raise InputError(f"{image.path}: its rewrite map names register '{layout.register}'")
    if layout.flavour is Flavour.PARALLEL and layout.distance is not None:
        start, size = stack_low - layout.distance - margin, STACK_TOP - stack_low + 2 * margin
        taken = any(m.start < start + size and start < m.end for m in memory.mappings)
        if taken or start <= 0 or start % PAGE:
            raise InputError(
                f"{image.path}: a shadow stack {layout.distance:#x} bytes below the stack has no place here"
            )
        name = SHADOW_NAME if margin and layout.provider == "image" else "parallel shadow"
        memory.add(start, size, name, writable=True, executable=False)
    elif layout.provider == "environment":
        memory.add(ENVIRONMENT_SHADOW, ENVIRONMENT_SHADOW_SIZE, "shadow stack", writable=True, executable=False)


def shadow_bounds(layout: ShadowLayout | None, stack_low: int) -> tuple[int, int]:
    """[base, limit) of the shadow stack's storage; (0, 0) without one.  PARALLEL: the shifted stack."""
    if layout is None:
        return 0, 0
    if layout.flavour is Flavour.PARALLEL and layout.distance is not None:
        return stack_low - layout.distance, STACK_TOP - layout.distance
    if layout.provider == "environment":
        return ENVIRONMENT_SHADOW, ENVIRONMENT_SHADOW + ENVIRONMENT_SHADOW_SIZE
    return layout.base, layout.limit
