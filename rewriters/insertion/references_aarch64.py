"""References in A64 code, by the relocations kept for it (AAELF64 5.7)."""

from __future__ import annotations

from collections.abc import Iterable

from lab.arch import AARCH64
from lab.arch.decode import decode_one
from lab.images.flow import Code
from rewriters import moving
from rewriters.insertion.references import Form, Pointer, References, read_code, read_data, read_got
from rewriters.insertion.relocations import Kept, Retained
from rewriters.insertion.tables_aarch64 import Compact, understand

_PAGES = frozenset({"ADR_PREL_PG_HI21", "ADR_PREL_PG_HI21_NC", "ADR_GOT_PAGE"})
_LOWS = frozenset({"ADD_ABS_LO12_NC", "LD64_GOT_LO12_NC", "LD64_GOTPAGE_LO15", "LD64_GOTOFF_LO15"})
_DIRECT = frozenset({"CALL26", "JUMP26", "CONDBR19", "TSTBR14"})


def collect(found: References, kept: Retained) -> None:
    """Fill *found* from all code and relocations of its image."""
    wanted: set[int] = set()
    for place in (*kept.code, *kept.data):
        found.named.setdefault(place.target, set()).add(place.address)
    for place in kept.code:
        if found.home(place.target) is not None:
            _place(found, place, wanted)
    read_code(found)
    for word in read_data(found, kept, "ABS64").values():
        found.unknown(word.target, f"the word at {word.address:#x} is computed from its address ({word.kind})")
    read_got(found, wanted)


def _place(found: References, place: Kept, wanted: set[int]) -> None:
    home = found.home(place.target)
    assert home is not None
    if place.kind in _DIRECT:
        if found.home(place.address) is None and place.target != home.start:
            found.stay(home, f"code in no function jumps into its middle at {place.address:#x}")
        return
    if place.kind == "ADR_PREL_LO21":
        return  # read from the code itself
    if place.target != home.start or place.marks or place.kind not in _PAGES | _LOWS:
        found.unknown(place.target, f"its address is formed at {place.address:#x} ({place.kind})")
        return
    insn = decode_one(AARCH64, found.image.read(place.address, 4), place.address)
    slot = "GOT" in place.kind
    if insn.mnemonic in {"nop", "adr"}:
        return  # relaxed: the adr is read from the code itself
    if place.kind in _PAGES and insn.mnemonic == "adrp":
        if moving.refers_to(AARCH64, insn) == place.target & ~0xFFF:
            found.points(home.start, Pointer(place.address, Form.PAGE))
            return
        if slot:
            return  # the page of the slot
    elif insn.mnemonic == "add" and insn.op_str.endswith(low_text(place.target)):
        found.points(home.start, Pointer(place.address, Form.LOW))
        return
    elif slot and insn.mnemonic == "ldr":
        wanted.add(home.start)
        return
    found.unknown(place.target, f"'{insn.text}' at {place.address:#x} is not what its relocation says")


def tables_of(found: References, code: Code, jumps: Iterable[int]) -> tuple[Compact, ...]:
    """The jump tables of *code* that are understood and that nobody else reads."""
    tables = [table for jump in jumps if (table := understand(found.image, code, jump)) is not None]
    return tuple(table for table in tables if not _shared(found, table, tables))


def _shared(found: References, table: Compact, tables: Iterable[Compact]) -> bool:
    readers = {(other.address, other.base, other.count) for other in tables if _overlap(table, other)}
    uses = {address for other in tables if _overlap(table, other) for address in other.uses}
    named = (found.named.get(address, set()) for address in range(table.address, table.end))
    return len(readers) > 1 or any(places - uses for places in named)


def _overlap(one: Compact, other: Compact) -> bool:
    return one.address < other.end and other.address < one.end


def low_text(target: int) -> str:
    """How capstone ends an ``add`` of the low 12 bits of *target*."""
    low = target & 0xFFF
    return f"#{low:#x}" if low > 9 else f"#{low}"
