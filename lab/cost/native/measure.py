"""Native runs: ns per call of bench programs and time of whole programs, base and variants interleaved."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.arch import Arch, arch_by_name
from lab.bench.programs import Program
from lab.cost.native.programs import TIMED, VARIANTS, Built, built, calls_per_round, with_rounds
from lab.cost.native.stats import Comparison, compare
from lab.cost.native.timing import Command, Variant, cpu_seconds, interleaved
from lab.cost.native.whole import whole_programs
from lab.errors import EngineError, InputError

SAMPLE_S = 0.012
"""Processor time of one sample that is aimed at: short, so that a busy moment of the machine meets every variant."""
BASE = "base"

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Case:
    """One program: the base and its variants, and what a sample is divided by.

    ``unit`` ``ns/call``: ``calls`` calls an execution; ``us/run``: one execution, its start included.  ``times``:
    executions a sample is the mean of.  ``left_out``: proposal -> why it is not run."""

    program: str
    title: str
    unit: str
    calls: int
    variants: tuple[Variant, ...]
    left_out: dict[str, str]
    times: int = 1

    def value(self, seconds: float) -> float:
        """A sample in ``unit``."""
        return seconds * 1e9 / self.calls if self.unit == "ns/call" else seconds * 1e6


@dataclass(frozen=True)
class NativeRow:
    """One program under one proposal beside its base, in ``unit``; all samples are kept."""

    arch: str
    program: str
    proposal: str
    unit: str
    calls: int
    comparison: Comparison
    base_samples: tuple[float, ...]
    samples: tuple[float, ...]


def native_arch() -> Arch:
    """The architecture whose images run here.  InputError (exit 2) where the lab has none of this machine's."""
    machine = os.uname().machine
    try:
        return arch_by_name(machine)
    except InputError:
        raise InputError(f"native time: this machine is {machine}; it can be had on x86_64 and aarch64") from None


def cases(arch: Arch, proposals: Sequence[str], programs: Sequence[str] = ()) -> list[Case]:
    """Everything that can be run natively on *arch*, built and calibrated; no *proposals* means VARIANTS.

    InputError (exit 2) for an unknown program, and where nothing is left."""
    wanted = [name for name in proposals or VARIANTS[arch.name] if name != BASE]
    whole = whole_programs(arch)
    known = {program.name: program for program in TIMED}
    chosen = list(dict.fromkeys(programs or [*known, *whole]))
    if unknown := [name for name in chosen if name not in known and name not in whole]:
        raise InputError(f"unknown program '{unknown[0]}'; known: {', '.join([*known, *whole])}")
    found = [_bench_case(known[name], arch, wanted) for name in chosen if name in known]
    for name in chosen:
        if name in whole:
            title, make = whole[name]
            images = [(proposal, *make(proposal)) for proposal in (BASE, *wanted)]
            runs = tuple(Variant(proposal, command) for proposal, command, _ in images if command)
            absent = {proposal: why for proposal, command, why in images if not command}
            if runs and runs[0].name == BASE:
                found.append(Case(name, title, "us/run", 0, runs, absent, _times(runs[0].command)))
    for case in found:
        _same_output(case)
    return found


def _bench_case(program: Program, arch: Arch, wanted: Sequence[str]) -> Case:
    base = built(program, arch, BASE).image
    assert base is not None
    rounds = _rounds(lambda number: (str(with_rounds(base, number)),))
    images: list[Built] = [built(program, arch, proposal) for proposal in wanted]
    variants = [Variant(BASE, (str(with_rounds(base, rounds)),))]
    variants += [Variant(b.proposal, (str(with_rounds(b.image, rounds)),)) for b in images if b.image]
    absent = {b.proposal: b.why_not for b in images if b.image is None}
    return Case(program.name, program.title, "ns/call", rounds * calls_per_round(base), tuple(variants), absent)


def _rounds(command: Callable[[int], Command]) -> int:
    """Rounds that take about SAMPLE_S."""
    rounds = 256
    while (spent := cpu_seconds(command(rounds))) < SAMPLE_S / 4 and rounds < 1 << 40:
        rounds *= 4
    return max(1, round(rounds * SAMPLE_S / spent))


def _times(command: Command) -> int:
    """Executions that take about SAMPLE_S together."""
    return max(1, round(SAMPLE_S / min(cpu_seconds(command) for _ in range(3))))


def _same_output(case: Case) -> None:
    """EngineError where a variant prints another result than the base: then its time is worth nothing."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        seen: dict[str, bytes] = {}
        for variant in case.variants:
            cpu_seconds(variant.command, out)
            seen[variant.name] = out.read_bytes()
    wrong = [name for name, text in seen.items() if text != seen.get(BASE, text)]
    if wrong:
        raise EngineError(f"native {case.program}: {wrong[0]} prints another result than {BASE}")


def measure(todo: Sequence[Case], arch: Arch, samples: int, seed: int, show: Progress) -> list[NativeRow]:
    """Every variant of every case beside its base."""
    rows: list[NativeRow] = []
    for index, case in enumerate(todo):
        show(index, len(todo), case.program)
        found = interleaved(case.variants, samples, seed + index, case.times)
        values = {name: tuple(map(case.value, taken)) for name, taken in found.items()}
        rows += [
            NativeRow(
                arch.name, case.program, name, case.unit, case.calls, compare(values[BASE], taken), values[BASE], taken
            )
            for name, taken in values.items()
            if name != BASE
        ]
    return rows


@dataclass(frozen=True)
class Trust:
    """What repeating says of the benchmark itself.  ``alike``: per program, how many of ``runs`` A/A comparisons called
    two copies of the base different; ``pairs``: A/B pairs measured twice, of which ``agreed`` gave the same verdict;
    ``changed``: the others, with both verdicts."""

    runs: int
    alike: dict[str, int]
    pairs: int
    agreed: int
    changed: tuple[tuple[str, str, str, str], ...]


def trust(todo: Sequence[Case], arch: Arch, samples: int, runs: int, show: Progress) -> tuple[Trust, list[NativeRow]]:
    """A/A: two copies of the base, *runs* times for each program.  A/B: everything twice.  The rows are of the second
    time."""
    alike = dict.fromkeys((case.program for case in todo), 0)
    for step, (case, seed) in enumerate(_repeats(todo, runs)):
        show(step, runs * len(todo), f"A/A {case.program}")
        with _copies(case.variants[0].command) as pair:
            found = interleaved(pair, samples, seed, case.times)
        alike[case.program] += compare(found["one"], found["other"]).differs
    first, second = (measure(todo, arch, samples, seed, show) for seed in (1, 2))
    both = list(zip(first, second, strict=True))
    changed = tuple(
        (one.program, one.proposal, one.comparison.verdict, two.comparison.verdict)
        for one, two in both
        if one.comparison.verdict != two.comparison.verdict
    )
    return Trust(runs, alike, len(both), len(both) - len(changed), changed), second


@contextmanager
def _copies(command: Command) -> Iterator[list[Variant]]:
    """The program twice, as two files: base and variant also lie on pages of their own, whose places differ."""
    with tempfile.TemporaryDirectory() as folder:
        pair = []
        for name in ("one", "other"):
            path = Path(folder) / name / Path(command[0]).name  # busybox goes by its name
            path.parent.mkdir()
            shutil.copy(command[0], path)
            pair.append(Variant(name, (str(path), *command[1:])))
        yield pair


def _repeats(todo: Sequence[Case], runs: int) -> Iterator[tuple[Case, int]]:
    return ((case, 1000 + run) for run in range(runs) for case in todo)
