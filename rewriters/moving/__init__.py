"""Carry one instruction to another address so that it does there what it did here.

    Insn + new pc + resolve --carry--> Moved(bytes, every emitted instruction with its text) --read back--> written

``size`` is known before any address is: forms are chosen by the instruction alone.  Nothing here knows functions,
sequences or shadow stacks.
"""

from __future__ import annotations

from types import ModuleType

from lab.arch import Arch
from lab.arch.decode import Insn
from rewriters.moving import aarch64, x86_64
from rewriters.moving.forms import Moved, Resolve

__all__ = ["Moved", "Resolve", "carry", "plain", "problem", "refers_to", "retarget", "size"]

_CARRIERS: dict[str, ModuleType] = {"aarch64": aarch64, "x86_64": x86_64}


def plain(arch: Arch, insn: Insn) -> bool:
    """Whether *insn* is carried byte for byte: its bytes mean the same at every address.  (Quick.)"""
    found: bool = _CARRIERS[arch.name].plain(insn)
    return found


def refers_to(arch: Arch, insn: Insn) -> int | None:
    """The address *insn* names relative to its own: branch or call target, literal, address formed, RIP-relative
    operand; for ``adrp`` the page.  None if its bytes mean the same at every address."""
    found: int | None = _CARRIERS[arch.name].refers_to(insn)
    return found


def problem(arch: Arch, insn: Insn) -> str:
    """Why *insn* cannot be carried to any address; "" if it can (a vector literal: with a scratch register)."""
    why: str = _CARRIERS[arch.name].problem(insn)
    return why


def size(arch: Arch, insn: Insn) -> int:
    """Bytes ``carry`` makes of *insn*: exact, and the same for every address."""
    length: int = _CARRIERS[arch.name].size(insn)
    return length


def carry(arch: Arch, insn: Insn, new_pc: int, resolve: Resolve, scratch: str | None = None) -> Moved:
    """*insn* so that it does at *new_pc* what it did at its own address, then goes on behind its last byte.

    *resolve* maps the address it refers to (``refers_to``) to the one to refer to now; it is not asked about the page
    of an ``adrp``, which names nothing by itself.  A call leaves the return address behind its new place.
    *scratch* is a free register for AArch64's vector literals (``x16``); its value is lost.
    RefusedError: it cannot be carried (``problem``), or the new distance is beyond its form's reach."""
    moved: Moved = _CARRIERS[arch.name].carry(insn, new_pc, resolve, scratch)
    return moved


def retarget(arch: Arch, insn: Insn, new_pc: int, target: int) -> Moved:
    """*insn* in its own form and size, standing at *new_pc* and naming *target* (``adrp``: the page of it).
    RefusedError if it names no address or *target* is out of its reach."""
    moved: Moved = _CARRIERS[arch.name].retarget(insn, new_pc, target)
    return moved
