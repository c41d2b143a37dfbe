"""References in x86-64 code and its jump tables, by the relocations kept for them (psABI 4.4.1).

A position-independent jump table is a run of PC32 words behind an address some ``lea`` forms: each holds its label
minus the table's address, so the relocation, which counts from its own word, names label + 4 * index.  A table of
whole addresses is a run behind the displacement of an indirect jump.  Runs end where the next table begins.
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.arch.decode import ENDS_FLOW, Insn, Kind
from lab.images.flow import Code
from lab.images.image import Function
from rewriters import moving
from rewriters.insertion.references import Entry, Form, Pointer, References, read_code, read_data, read_got
from rewriters.insertion.relocations import Kept, Retained

_DIRECT = frozenset({Kind.CALL, Kind.JUMP, Kind.BRANCH})
_RELATIVE = frozenset({"PC32", "PLT32", "GOTPCREL", "GOTPCRELX", "REX_GOTPCRELX"})
_ABSOLUTE = {"32": 4, "32S": 4, "64": 8}
_PADDING = frozenset({"nop", "int3", "ud2"})
_ARCH_WORD = 8


def collect(found: References, kept: Retained) -> None:
    """Fill *found* from all code and relocations of its image."""
    wanted: set[int] = set()
    absolute: dict[int, str] = {}
    for place in kept.code:
        insn = found.insn_at(place.address)
        if insn is None:
            _outside(found, place)
        elif place.kind in _ABSOLUTE:
            absolute[_field(found, place, insn)] = _stem_at(found, insn)
        elif place.kind not in _RELATIVE:
            found.unknown(place.target, f"its address is formed at {place.address:#x} ({place.kind})")
        elif "GOT" in place.kind:
            wanted.add(place.target + insn.end - place.address)
    read_code(found)
    read_got(found, {target for target in wanted if _is_start(found, target)})
    left = read_data(found, kept, "64")
    words = set(left)
    _tables(found, left, absolute)
    for word in left.values():
        _unclaimed(found, word, words)
    for code in found.codes.values():
        _check_tables(found, code)


def _stem_at(found: References, insn: Insn) -> str:
    home = found.home(insn.address)
    return "" if home is None else _stem(home)


def _is_start(found: References, target: int) -> bool:
    home = found.home(target)
    return home is not None and home.start == target


def _outside(found: References, place: Kept) -> None:
    """Code that no function holds: where its instructions begin is not known."""
    if place.kind in _RELATIVE:
        offset = int.from_bytes(found.image.read(place.address, 4), "little", signed=True)
        target = place.address + 4 + offset
    else:
        target = place.target
    found.unknown(target, f"code in no function names it at {place.address:#x}")


def _field(found: References, place: Kept, insn: Insn) -> int:
    """A whole address within *insn*: gives it back."""
    at, width = place.address - insn.address, _ABSOLUTE[place.kind]
    if "rip" in insn.op_str and moving.refers_to(found.image.arch, insn) is not None:
        return 0  # relaxed to a relative form, which is read from the code itself
    target = int.from_bytes(insn.raw[at : at + width], "little")
    home = found.home(target)
    if home is None:
        return target
    immediate = insn.op_str.rpartition(", ")[2] == f"{target:#x}" or insn.op_str == f"{target:#x}"
    if target == home.start and immediate and not place.marks:
        found.points(home.start, Pointer(insn.address, Form.FIELD, at, width))
    else:
        found.unknown(target, f"'{insn.text}' at {insn.address:#x} names it")
    return target


def _tables(found: References, left: dict[int, Kept], absolute: Mapping[int, str]) -> None:
    """Take the words of tables that are understood out of *left*."""
    owners = _bases(found, left, absolute)
    bases = sorted(owners)
    for index, base in enumerate(bases):
        limit = bases[index + 1] if index + 1 < len(bases) else 1 << 63
        kind = left[base].kind
        relative = kind.startswith("PC")
        width = 4 if relative else _ARCH_WORD
        at = base
        while at in left and at < limit and left[at].kind == kind:
            label = left[at].target - (at - base if relative else 0)
            home = found.home(label)
            if home is None or label not in found.codes[home.start].index or _stem(home) != owners[base]:
                break
            found.tables.setdefault(home.start, []).append(Entry(at, label, base if relative else None, width))
            del left[at]
            at += width


def _stem(function: Function) -> str:
    """The name a function shares with its cold part."""
    return function.name.partition(".")[0]


def _bases(found: References, left: dict[int, Kept], absolute: Mapping[int, str]) -> dict[int, str]:
    """Where tables begin -> the function that reads them."""
    bases = {at: name for at, name in absolute.items() if at in left and not left[at].kind.startswith("PC")}
    for code in found.codes.values():
        for insn in code.insns:
            if insn.mnemonic == "lea" and (target := moving.refers_to(code.arch, insn)) in left:
                assert target is not None
                bases[target] = _stem(code.function)
    return bases


def _unclaimed(found: References, word: Kept, words: set[int]) -> None:
    """A word of no known table.  A relative one counts from at most as far before it as such words stand there."""
    why = f"the word at {word.address:#x}, of no known table, leads to it ({word.kind})"
    found.unknown(word.target, why)
    first = word.address
    while word.kind.startswith("PC") and first - 4 in words:
        first -= 4
    for function in found.image.functions if first != word.address else ():
        if function.start <= word.target and function.end > word.target - (word.address - first):
            found.stay(function, why)


def _check_tables(found: References, code: Code) -> None:
    """A function with an indirect jump must have every block nothing else reaches named by a table."""
    if not any(insn.kind is Kind.INDIRECT for insn in code.insns):
        return
    reached = {insn.target for insn in code.insns if insn.kind in _DIRECT}
    reached |= {entry.label for entry in found.tables.get(code.function.start, ())}
    for before, insn in zip(code.insns, code.insns[1:], strict=False):
        if before.kind not in ENDS_FLOW or insn.mnemonic in _PADDING or insn.kind is Kind.UNDECODED:
            continue
        if before.mnemonic in _PADDING or insn.address in reached:
            continue
        found.stay(code.function, f"nothing known leads to {insn.address:#x}: a jump table that is not understood")
