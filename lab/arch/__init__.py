"""Architectures as facts: registers, the exception frame, call conventions.  No control flow here."""

from __future__ import annotations

import copyreg
from collections.abc import Callable

from lab.arch.aarch64 import AARCH64
from lab.arch.facts import Arch, PtRegs
from lab.arch.x86_64 import X86_64
from lab.errors import InputError

__all__ = ["AARCH64", "ARCHES", "X86_64", "Arch", "PtRegs", "arch_by_machine", "arch_by_name"]

ARCHES: tuple[Arch, ...] = (AARCH64, X86_64)


def arch_by_name(name: str) -> Arch:
    """The architecture called *name* or one of its aliases; InputError (exit 2) if there is none."""
    for arch in ARCHES:
        if name.lower() == arch.name or name.lower() in arch.aliases:
            return arch
    known = ", ".join(arch.name for arch in ARCHES)
    raise InputError(f"unknown architecture '{name}'; known: {known}")


def _by_name(arch: Arch) -> tuple[Callable[[str], Arch], tuple[str]]:
    return arch_by_name, (arch.name,)


copyreg.pickle(Arch, _by_name)  # one object of each, also where it comes from another process


def arch_by_machine(e_machine: int, where: str) -> Arch:
    """The architecture of an ELF e_machine value; InputError naming *where* (a file) for any other."""
    for arch in ARCHES:
        if arch.elf_machine == e_machine:
            return arch
    known = ", ".join(f"{arch.name} ({arch.elf_machine})" for arch in ARCHES)
    raise InputError(f"{where}: ELF machine {e_machine} is not supported; supported: {known}")
