"""The shape of an architecture's facts.  Instances live in one file per architecture."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class PtRegs:
    """Layout of the block an exception entry leaves on the stack (offsets and sizes in bytes).

    ``registers`` maps a canonical register name to its offset.  ``metadata`` is the offset of the
    metadata frame record {0, 0, type} that arm64's kernel_entry writes, or None where there is none.
    """

    size: int
    registers: MappingProxyType[str, int]
    metadata: int | None


@dataclass(frozen=True, eq=False)
class Arch:
    """One architecture; one object of each, compared by identity.

    ``gprs`` are canonical names; the index is the DWARF register number where that exists.
    """

    name: str
    aliases: tuple[str, ...]
    title: str
    elf_machine: int
    triple: str
    gprs: tuple[str, ...]
    sp: str
    fp: str
    lr: str | None
    shadow_register: str | None
    """Register a compiler can be told to keep free for a shadow-stack pointer, or None."""
    insn_align: int
    max_insn: int
    """Longest instruction in bytes."""
    call_pushes: int
    """Bytes a call instruction itself pushes (8 on x86-64, 0 on AArch64)."""
    exception_align: int
    """The CPU aligns SP down to this before it pushes the exception frame; 1 = not at all."""
    pt_regs: PtRegs
    final_record: int
    """Distance from the initial SP down to the FINAL record the start stub writes (bytes)."""
    scratch: tuple[str, ...]
    """Caller-saved registers that carry neither arguments nor results: scratch at an entry or exit."""
    pac_mask: int
    """Bits of a code address that pointer authentication may set (0 where there is none)."""

    def strip(self, address: int) -> int:
        """The address without its pointer-authentication code (user addresses: bit 55 is clear)."""
        return address & ~self.pac_mask
