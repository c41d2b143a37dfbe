"""The relocations a linker kept (--emit-relocs), as facts: at this address stands a reference of this kind to that.

Sources: AAELF64 5.7 (AArch64 relocation types), System V x86-64 psABI 4.4.1.  The kind is the type's name without its
architecture.  It says what the compiler asked for; a linker that relaxes code leaves it as it was, so whoever uses it
looks at the bytes as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.errors import EngineError, RefusedError
from lab.images.image import Image
from lab.images.rawelf import read_elf_bytes

#: Read by others, or rebuilt by them: unwind tables.
_NOT_OURS = (".eh_frame", ".eh_frame_hdr")
#: Kinds that name no address, or one of a thread's variables.
_NO_ADDRESS = ("NONE", "TLS", "TPOFF", "DTPMOD", "DTPOFF", "SIZE", "GOTTPOFF")


@dataclass(frozen=True, slots=True)
class Kept:
    """At ``address`` something of ``kind`` refers to ``target`` (symbol + addend).  ``marks``: through a symbol that is
    neither a function nor a section, such as a linker's mark for where something ends."""

    address: int
    kind: str
    target: int
    section: str
    marks: bool


@dataclass(frozen=True)
class Retained:
    """Relocations of loaded sections, those in code and those in data, by address."""

    code: tuple[Kept, ...]
    data: tuple[Kept, ...]


def retained(image: Image) -> Retained:
    """Every relocation of *image* that names an address; RefusedError where the linker kept none for its code."""
    import lief

    binary = lief.ELF.parse(list(read_elf_bytes(image.path)))
    if binary is None:
        raise EngineError(f"{image.path}: the ELF parser rejects now what it took before")
    flags = lief.ELF.Section.FLAGS
    code: list[Kept] = []
    data: list[Kept] = []
    for relocation in binary.relocations:
        section = relocation.section if relocation.has_section else None
        if section is not None and (not section.has(flags.ALLOC) or str(section.name) in _NOT_OURS):
            continue
        found = _kept(relocation, "" if section is None else str(section.name))
        if found is not None:
            in_code = section is not None and section.has(flags.EXECINSTR)
            (code if in_code else data).append(found)
    if not code:
        raise RefusedError(
            f"{image.path}: no relocations are kept for its code, so addresses in it cannot be told from numbers; "
            "link it with -Wl,--emit-relocs"
        )
    return Retained(tuple(sorted(code, key=_address)), tuple(sorted(data, key=_address)))


def _address(kept: Kept) -> int:
    return kept.address


def _kept(relocation: Any, section: str) -> Kept | None:
    import lief

    kind = str(relocation.type).rpartition(".")[2].removeprefix("AARCH64_").removeprefix("X86_64_")
    if kind.startswith(_NO_ADDRESS):
        return None
    types = lief.ELF.Symbol.TYPE
    symbol = relocation.symbol if relocation.has_symbol else None
    value = 0 if symbol is None else int(symbol.value)
    marks = symbol is not None and symbol.type not in {types.FUNC, types.GNU_IFUNC, types.SECTION} and value != 0
    target = value + int(relocation.addend) & 0xFFFF_FFFF_FFFF_FFFF
    return Kept(int(relocation.address), kind, target, section, marks)
