"""Sequences recognised in new text: the flavour's push and pop, found by their text and encoded anew to compare."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from lab.arch import Arch
from lab.errors import EngineError, InputError, RefusedError
from lab.layout import ShadowLayout
from rewriters.flavours import flavour_by_name
from rewriters.sequences import Binding, Emitted, Sequence, assemble, sequence
from rewriters.sites import Action
from rewriters.verify.facts import Fact

_NUMBER = r"(?:0x[0-9a-f]+|\d+)"
#: The pc-relative forms as they read; what they name is compared by encoding them anew.
_FORMS = {
    "@adrp": rf"adrp {{}}, #{_NUMBER}",
    "@cbz": rf"cbz {{}}, #{_NUMBER}",
    "@je": rf"je {_NUMBER}",
    "@load": rf"mov {{}}, qword ptr \[rip(?: [+-] {_NUMBER})?\]",
    "@add": rf"add qword ptr \[rip(?: [+-] {_NUMBER})?\], 8",
    "@sub": rf"sub qword ptr \[rip(?: [+-] {_NUMBER})?\], 8",
}
_HOLES = {"{s0}": "s0", "{s1}": "s1", "{lr}": "lr"}
_REGISTER = r"(?:x\d+|r\d+|r[a-d]x|r[sd]i)"


@dataclass(frozen=True, slots=True)
class Found:
    """A sequence in new text: what it does, its instructions as encoded anew, and the registers it is bound to."""

    action: Action
    pieces: tuple[Emitted, ...]
    binding: Binding

    @property
    def end(self) -> int:
        return self.pieces[-1].address + len(self.pieces[-1].raw)


class Templates:
    """The push and the pop of one layout, as patterns."""

    def __init__(self, arch: Arch, layout: ShadowLayout) -> None:
        self.arch, self.layout = arch, layout
        spec = flavour_by_name(layout.name)
        if arch.name not in spec.push or layout.policy not in spec.pop.get(arch.name, {}):
            raise InputError(f"the flavour {layout.name} has no {layout.policy.value} sequences for {arch.title}")
        self.push = sequence(arch, layout.name, Action.PUSH, layout.policy)
        self.pop = sequence(arch, layout.name, Action.POP, layout.policy)

    @cached_property
    def patterns(self) -> tuple[tuple[Action, Sequence, tuple[re.Pattern[str], ...]], ...]:
        """The longest first: one sequence may begin like the other."""
        known = [(Action.PUSH, self.push), (Action.POP, self.pop)]
        made = [
            (action, what, tuple(_pattern(line.text) for line in what.lines)) for action, what in known if what.lines
        ]
        return tuple(sorted(made, key=lambda entry: -len(entry[2])))

    @cached_property
    def starts(self) -> re.Pattern[str]:
        """What the first instruction of any sequence reads like; nothing at all if there is none."""
        firsts = [re.sub(r"\?P<\w+>", "?:", patterns[0].pattern) for _, _, patterns in self.patterns]
        return re.compile("|".join(firsts) or r"(?!)")

    def match(self, facts: list[Fact], at: int) -> tuple[Action, Sequence, Binding] | None:
        """The sequence that begins at index *at* of *facts*, by its text, with the registers it names."""
        for action, what, patterns in self.patterns:
            names = _bind(patterns, facts, at)
            if names is not None:
                scratch = tuple(names[hole] for hole in ("s0", "s1") if hole in names)
                return action, what, Binding(scratch, self.layout.cell, names.get("lr", "x30"))
        return None

    def encode(self, what: Sequence, address: int, binding: Binding) -> tuple[Emitted, ...]:
        """*what* at *address*; empty where it cannot be encoded so."""
        try:
            return tuple(assemble(self.arch, what, address, binding))
        except (EngineError, RefusedError):
            return ()


def _pattern(text: str) -> re.Pattern[str]:
    """One template instruction as a pattern with the groups s0, s1 and lr."""
    if text.startswith("@"):
        form, _, arguments = text.partition(" ")
        hole = arguments.split(",")[0].strip()
        return re.compile(_FORMS[form].format(_group(_HOLES[hole])) if hole in _HOLES else _FORMS[form])
    made = re.escape(text)
    for hole, name in _HOLES.items():
        first, *more = made.split(re.escape(hole))
        made = first + "".join((_group(name) if not i else f"(?P={name})") + part for i, part in enumerate(more))
    return re.compile(made.replace(re.escape("{lo}"), rf"(?:, \#{_NUMBER})?"))


def _group(name: str) -> str:
    return f"(?P<{name}>{_REGISTER})"


def _bind(patterns: tuple[re.Pattern[str], ...], facts: list[Fact], at: int) -> dict[str, str] | None:
    if at + len(patterns) > len(facts):
        return None
    names: dict[str, str] = {}
    for pattern, fact in zip(patterns, facts[at:], strict=False):
        match = pattern.fullmatch(fact.text)
        if match is None:
            return None
        for name, value in match.groupdict().items():
            if value is not None and names.setdefault(name, value) != value:
                return None
    return names
