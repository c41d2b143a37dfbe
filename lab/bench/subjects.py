"""What is run: bench programs under a proposal that brings a shadow stack, on one architecture or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from lab import registry
from lab.arch import ARCHES, Arch, arch_by_name
from lab.bench.counting import execute_counting
from lab.bench.programs import PROGRAMS, Length, measure_length, prepared, program_by_name, set_rounds
from lab.errors import InputError
from lab.images.image import Image
from lab.layout import RewriteMap
from lab.machine.machine import Limits, Machine

JUDGED = ("fp", "scs-lr")
"""The unwinders that are asked, both at every stop, where a limit is about unwinding."""

EIGHT = {
    "aarch64": ("fp", "fp-reliable", "fp-validated", "scs", "scs-lr", "hw-shadow", "dwarf", "sframe-v6"),
    "x86_64": ("fp-x86", "fp-x86-reliable", "scs", "scs-lr", "hw-shadow", "dwarf", "orc", "sframe"),
}
"""One of each kind, as a run that compares designs has them."""

PROPOSALS = {"aarch64": "pac-register-use", "x86_64": "xray-memory-use"}
"""Where none is named: the shadow stack's pointer in a register where that exists, and returns through it."""

LIMITS = Limits(1 << 62, 3600.0)
"""Of every execution: its rounds end it."""


@dataclass(frozen=True)
class Subject:
    """One bench program on one architecture under one proposal (a registered name)."""

    arch: Arch
    workload: str
    proposal: str
    image: Image
    rewrite: RewriteMap

    @cached_property
    def length(self) -> Length:
        """Instructions it retires, by rounds."""
        return measure_length(self.image, self.rewrite)

    @cached_property
    def hook_calls(self) -> Length:
        """The same for calls of a CODE hook, which are more where there are rep-prefixed instructions."""
        one, two = (execute_counting(self.machine(rounds))[1] for rounds in (1, 2))
        return Length(fixed=2 * one - two, per_round=two - one)

    def machine(self, rounds: int) -> Machine:
        """A machine about to do *rounds* rounds."""
        machine = Machine(self.image, self.rewrite.layout, LIMITS)
        set_rounds(machine, self.image, rounds)
        return machine


def make_subject(workload: str, arch: Arch, proposal: str) -> Subject:
    """The program built and rewritten.

    InputError (exit 2) where there is no such program or the proposal brings no shadow stack; other errors are those of
    ``lab.bench.programs.prepared``.
    """
    image, rewrite = prepared(workload, arch, proposal)
    if rewrite is None:
        raise InputError(f"proposal '{proposal}' brings no shadow stack for {JUDGED[1]} to read; choose one that does")
    return Subject(arch, workload, proposal, image, rewrite)


def choose(arches: Sequence[str], workloads: Sequence[str], proposal: str | None) -> list[Subject]:
    """The subjects of these names; an empty list means all, and no proposal PROPOSALS.

    Where no architecture is named, those that *proposal* exists on.  Nothing is built before all names are known;
    errors are InputError (exit 2) and those of ``make_subject``.
    """
    programs = [program_by_name(name).name for name in dict.fromkeys(workloads)] or [p.name for p in PROGRAMS]
    chosen = list(dict.fromkeys(map(arch_by_name, arches))) or list(ARCHES)
    if proposal is not None and not arches:
        asked = registry.proposal(proposal)
        chosen = [arch for arch in chosen if asked.unsupported(arch.name) is None] or chosen
    return [make_subject(name, arch, proposal or PROPOSALS[arch.name]) for arch in chosen for name in programs]
