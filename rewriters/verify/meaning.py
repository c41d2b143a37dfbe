"""Does carried code mean what the original did?  Compared by what the disassembler reads, not by how it was made.

An instruction that does not refer to its own address must be the same bytes.  One that does may stand in a longer
form; what it names now is handed on, for whoever knows the address map.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.arch import X86_64, Arch
from lab.arch.decode import Kind
from rewriters.verify.facts import Fact

_NUMBER = r"(0x[0-9a-f]+|\d+)"
_PAGE = ~0xFFF


@dataclass(frozen=True, slots=True)
class Meaning:
    """``problem``: why the new code is not the original ("" = it is, if what it names is right).  ``was``/``now``: the
    address named before and after (None: it names none); ``code``: it is where control may go."""

    problem: str = ""
    was: int | None = None
    now: int | None = None
    code: bool = False


def relative(arch: Arch, fact: Fact) -> bool:
    """Whether *fact* reads otherwise at another address."""
    return fact.target is not None or named(arch, fact) is not None


def named(arch: Arch, fact: Fact) -> int | None:
    """The address a non-branch names relative to its own (adrp: the page), None if it names none."""
    if arch.lr is None:
        match = _RIP.search(fact.text)
        if match is None:
            return None
        distance = int(match[2] or "0", 0)
        return fact.end + (-distance if match[1] == "-" else distance)
    match = _A64_NAMED.match(fact.text)
    return int(match[1], 0) if match else None


_RIP = re.compile(rf"\[rip(?: ([+-]) {_NUMBER})?\]")
_A64_NAMED = re.compile(rf"(?:adrp?|ldr|ldrsw|prfm) [a-z0-9]+, #{_NUMBER}$")


def meaning(arch: Arch, old: Fact, old_raw: bytes, new: list[Fact], new_raw: bytes) -> Meaning:
    """Compare the original instruction with what stands for it."""
    if not relative(arch, old):
        same = old_raw == new_raw
        return Meaning("" if same else f"'{old.text}' became '{'; '.join(f.text for f in new)}'")
    found = (_a64 if arch.lr is not None else _x86)(old, new)
    if found is None or (arch.lr is None and not found.code and _elsewhere(old_raw, new_raw)):
        return Meaning(f"'{old.text}' became '{'; '.join(f.text for f in new)}'")
    return found


def _masked(text: str) -> str:
    """*text* without the address at its end."""
    return _LAST.sub("@", text)


_LAST = re.compile(r"#?(?:0x[0-9a-f]+|\d+)$")


def _branch(old: Fact, now: int | None) -> Meaning | None:
    return None if now is None else Meaning("", old.target, now, code=True)


def _a64(old: Fact, new: list[Fact]) -> Meaning | None:
    if old.target is not None:
        return _a64_branch(old, new)
    was = _A64_NAMED.match(old.text)
    assert was is not None
    register = old.text.split()[1].rstrip(",")
    if len(new) == 1 and new[0].text == "nop":  # adr xzr, prfm: without effect
        return Meaning() if old.mnemonic == "prfm" or register == "xzr" else None
    if len(new) == 1 and _masked(new[0].text) == _masked(old.text):
        again = _A64_NAMED.match(new[0].text)
        return Meaning("", int(was[1], 0), int(again[1], 0)) if again else None
    now = _a64_formed(old, register, new)
    return None if now is None else Meaning("", int(was[1], 0), now)


def _a64_branch(old: Fact, new: list[Fact]) -> Meaning | None:
    if len(new) == 1:
        always = old.mnemonic in {"b.al", "b.nv"} and new[0].kind is Kind.JUMP
        if always or _masked(new[0].text) == _masked(old.text):
            return _branch(old, new[0].target)
        return None
    if len(new) != 2 or new[1].kind is not Kind.JUMP or new[0].target != new[1].end:
        return None
    mnemonic, _, operands = _masked(new[0].text).partition(" ")
    opposite = _OPPOSITE.get(mnemonic)
    return _branch(old, new[1].target) if opposite and f"{opposite} {operands}" == _masked(old.text) else None


_PAIRS = (("eq", "ne"), ("hs", "lo"), ("mi", "pl"), ("vs", "vc"), ("hi", "ls"), ("ge", "lt"), ("gt", "le"))
_OPPOSITE = {"cbz": "cbnz", "tbz": "tbnz"} | {f"{b}.{x}": f"{b}.{y}" for b in ("b", "bc") for x, y in _PAIRS}
_OPPOSITE |= {y: x for x, y in _OPPOSITE.items()}


def _a64_formed(old: Fact, register: str, new: list[Fact]) -> int | None:
    """The address that ``adrp; add`` (and a load through it) stand for."""
    if len(new) < 2:
        return None
    page = re.fullmatch(rf"adrp (x\d+), #{_NUMBER}", new[0].text)
    low = re.fullmatch(rf"add (x\d+), (x\d+), #{_NUMBER}", new[1].text)
    if page is None or low is None or not page[1] == low[1] == low[2] or int(low[3], 0) > ~_PAGE:
        return None
    address = int(page[2], 0) + int(low[3], 0)
    if old.mnemonic == "adr":
        return address if len(new) == 2 and page[1] == register else None
    wanted = f"{old.mnemonic} {register}, [{page[1]}]"
    whole = register.replace("w", "x", 1) if register[0] == "w" else register
    fits = page[1] == whole or (register[0] in "sdq" and page[1] in {"x16", "x17"})
    return address if len(new) == 3 and new[2].text == wanted and fits else None


def _x86(old: Fact, new: list[Fact]) -> Meaning | None:
    if old.target is not None:
        return _x86_branch(old, new)
    if len(new) != 1 or _RIP.sub("@", new[0].text) != _RIP.sub("@", old.text):
        return None
    was, now = named(X86_64, old), named(X86_64, new[0])
    return None if now is None else Meaning("", was, now)


def _elsewhere(old: bytes, new: bytes) -> bool:
    """Whether bytes differ outside of four consecutive ones, the displacement."""
    differ = [i for i, (one, other) in enumerate(zip(old, new, strict=False)) if one != other]
    return len(old) != len(new) or (bool(differ) and differ[-1] - differ[0] >= _DISPLACEMENT)


_DISPLACEMENT = 4


def _x86_branch(old: Fact, new: list[Fact]) -> Meaning | None:
    if len(new) == 1:
        return _branch(old, new[0].target) if _masked(new[0].text) == _masked(old.text) else None
    if len(new) != 3 or new[1].kind is not Kind.JUMP or new[2].kind is not Kind.JUMP:
        return None
    over = new[0].target == new[2].address and new[1].target == new[2].end
    return _branch(old, new[2].target) if over and _masked(new[0].text) == _masked(old.text) else None
