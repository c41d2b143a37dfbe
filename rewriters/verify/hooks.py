"""What setjmp, longjmp and clone do with the shadow-stack pointer, recognised in new text (made by rewriters.hooks)."""

from __future__ import annotations

import re

from lab.arch import Arch
from lab.layout import Flavour, ShadowLayout
from rewriters.verify.facts import Fact
from rewriters.verify.meaning import named

_NUMBER = r"(?:0x[0-9a-f]+|\d+)"
#: The word of a jmp_buf that holds the pointer.
_BUFFER = {"aarch64": r"\[x\d+, #0x60\]", "x86_64": r"qword ptr \[r[a-z0-9]+ \+ 0x60\]"}
_CELL_X86 = rf"qword ptr \[rip(?: [+-] {_NUMBER})?\]"
_CELL_A64 = rf"\[x16(?:, #(?P<low>{_NUMBER}))?\]"
_PAGE = rf"adrp x16, #(?P<page>{_NUMBER})"


class Hooks:
    """The forms of one layout, the longest first."""

    def __init__(self, arch: Arch, layout: ShadowLayout) -> None:
        self.arch, self.cell = arch, layout.cell or 0
        forms = _forms(arch, layout, _BUFFER[arch.name])
        self.forms = [tuple(re.compile(text) for text in form) for form in sorted(forms, key=len, reverse=True)]

    def match(self, facts: list[Fact], at: int) -> int:
        """How many instructions the hook has that begins at index *at*; 0: none, or one that names another cell."""
        for form in self.forms:
            these = facts[at : at + len(form)]
            found = [pattern.fullmatch(fact.text) for pattern, fact in zip(form, these, strict=False)]
            if len(these) == len(form) and all(found) and self._own(these, [match for match in found if match]):
                return len(form)
        return 0

    def _own(self, facts: list[Fact], found: list[re.Match[str]]) -> bool:
        """Whether what they name is this layout's cell."""
        for fact, match in zip(facts, found, strict=True):
            groups = match.groupdict()
            if "page" in groups and int(groups["page"], 0) != self.cell & ~0xFFF:
                return False
            if "low" in groups and int(groups["low"] or "0", 0) != self.cell & 0xFFF:
                return False
            if "[rip" in fact.text and named(self.arch, fact) != self.cell:
                return False
        return True


def _forms(arch: Arch, layout: ShadowLayout, slot: str) -> list[tuple[str, ...]]:
    if layout.flavour is Flavour.PARALLEL:
        return []
    if layout.flavour is Flavour.REGISTER:
        return [(rf"str {layout.register}, {slot}",), (rf"ldr {layout.register}, {slot}",)]
    if arch.lr is None:
        jump = [("mov r11, {0}", "mov {1}, r11"), ("mov r11, {1}", "mov {0}, r11")]
        clone = [("mov r9, {0}",), ("mov {0}, r9",)]
        return [tuple(text.format(_CELL_X86, slot) for text in form) for form in jump + clone]
    cell = _CELL_A64
    return [
        (_PAGE, f"ldr x17, {cell}", f"str x17, {slot}"),
        (_PAGE, f"ldr x17, {slot}", f"str x17, {cell}"),
        (_PAGE, f"ldr x17, {cell}"),
        (f"str x17, {cell}",),
    ]
