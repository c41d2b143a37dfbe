"""Claims: what a workload's header says about designs, to be measured and not believed.

``fails: fp boundary at counted on aarch64 with base`` says that at some stop of that mode, at an instruction of the
function ``counted``, the trace that ``fp`` calls reliable lacks a live caller (or the unwinder crashes).  ``refuses``
says that it refuses at one such stop, ``adds`` that at one it reports every live caller and more, ``survives`` that at
every such stop it is exact or refuses, and that there is one.  ``tests/failures`` runs them all.

Names of unwinders and proposals are not known here (they are defined above this layer); the tests hold them against
the registry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

KINDS = ("fails", "refuses", "adds", "survives")
"""The header keys that hold claims."""
STOP_MODES = ("boundary", "call", "inject", "blocked")

_OPTIONS = ("at", "on", "with")
_UNWINDER = re.compile(r"[a-z][a-z0-9]*([-+][a-z0-9]+)*")
_NAME = {"at": re.compile(r"[A-Za-z_.$][\w.$]*"), "with": re.compile(r"[a-zA-Z][\w-]*")}
GRAMMAR = "UNWINDER MODE [at FUNCTION] [on ARCHITECTURE] [with PROPOSAL]"


@dataclass(frozen=True)
class Claim:
    """One entry of a header.  ``kind`` is of KINDS, ``unwinder`` a name with its rules (``fp+irq-flag``), ``function``
    the one whose instructions are meant ("" = every stop), ``arches`` where it is claimed."""

    kind: str
    unwinder: str
    mode: str
    function: str
    arches: tuple[str, ...]
    proposal: str

    def text(self, arches: tuple[str, ...]) -> str:
        """The claim as a header of a workload for *arches* has it, its kind before it."""
        words = [f"{self.kind}:", self.unwinder, self.mode]
        words += ["at", self.function] if self.function else []
        words += ["on", *self.arches] if self.arches != arches else []
        words += ["with", self.proposal] if self.proposal != "base" else []
        return " ".join(words)


def parse(kind: str, text: str, arches: tuple[str, ...], error: Callable[[str], Exception]) -> Iterator[Claim]:
    """The claims of the header line ``kind: text`` of a workload for *arches*; what *error* makes of a one-line reason
    is raised where the line is malformed."""
    for entry in text.split(";"):
        words = entry.split()
        try:
            said = _options(words)
            if "on" in said and said["on"] not in arches:
                raise ValueError(f"the workload is not for '{said['on']}'; 'on' is one of: {' '.join(arches)}")
        except ValueError as why:
            raise error(f"'{kind}' entry '{entry.strip()}': {why}") from None
        only = (said["on"],) if "on" in said else arches
        yield Claim(kind, words[0], words[1], said.get("at", ""), only, said.get("with", "base"))


def _options(words: list[str]) -> dict[str, str]:
    """What follows unwinder and mode in an entry, by its word; ValueError with what is wrong."""
    if len(words) < 2 or len(words) % 2:
        raise ValueError(f"write {GRAMMAR}, entries separated by ';'")
    if not _UNWINDER.fullmatch(words[0]):
        raise ValueError(f"'{words[0]}' is not an unwinder's name")
    if words[1] not in STOP_MODES:
        raise ValueError(f"unknown stop mode '{words[1]}'; known: {', '.join(STOP_MODES)}")
    said: dict[str, str] = {}
    for key, value in zip(words[2::2], words[3::2], strict=True):
        if key not in _OPTIONS:
            raise ValueError(f"'{key}' where one of {', '.join(_OPTIONS)} may stand")
        if key in said:
            raise ValueError(f"'{key}' twice")
        if key in _NAME and not _NAME[key].fullmatch(value):
            raise ValueError(f"'{value}' is no name")
        said[key] = value
    return said
