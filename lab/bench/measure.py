"""Measuring the configurations against each other, in one run, on a machine that others use too.

``insn_per_s`` and ``x_bare`` are made from the *processor time of the thread* that emulates, not from the clock on
the wall: on a shared machine a thread that waits for a core is slow by the clock, and how long it waits says
nothing about the engine.  Both times are given.  (What other users do to caches and to the clock rate is in
the processor time as well.)

Against that, the configurations are interleaved: one repetition runs each of them once, one after the other, and
``x_bare`` is the median over the repetitions of the ratio *within* a repetition::

    x_bare = median((cpu_s / instructions) / (cpu_s / instructions of bare, same repetition))

so that a machine that slows down for a minute slows both.  Its smallest and largest value tell how far to trust it.
The time is that of the emulation, its first translation of the code and the first sight of each instruction
included, without loading the image and collecting the counts.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

from lab.bench.configurations import BARE, COUNTING, NATIVE, NO_MEMO, Configuration, Sample, configurations
from lab.bench.subjects import Subject
from lab.errors import EngineError

Progress = Callable[[int, int, str], None]

BARE_S = 0.2
ENGINE_S = 0.4
"""Processor seconds that one execution of ``bare`` should take, and one of an engine or of ``python-walk``."""

QUICK = 0.05
"""Of which a smoke run takes this share."""

_FIRST = {BARE: 2_000_000, COUNTING: 2_000_000, NATIVE: 1_000_000, NO_MEMO: 20_000}
"""Instructions of the execution that warms up and tells how fast it is; the others begin with one round."""


@dataclass(frozen=True)
class Row:
    """One configuration on one subject.  Times and speeds are medians over the repetitions; ``insn_per_s`` counts
    processor seconds, ``insn_per_wall_s`` those of the wall.
    """

    arch: str
    workload: str
    proposal: str
    engine: str
    unwinders: tuple[str, ...]
    insn_per_s: float
    x_bare: float
    x_bare_min: float
    x_bare_max: float
    insn_per_wall_s: float
    x_bare_wall: float
    cpu_s: float
    wall_s: float
    instructions: int
    rounds: int
    repeat: int
    registers: str


@dataclass
class _Series:
    """The samples of one configuration on one subject."""

    subject: Subject
    configuration: Configuration
    rounds: int = 1
    samples: list[Sample] = field(default_factory=list)

    def run(self) -> Sample:
        gc.collect()  # machines are cycles; the garbage of one run must not cost another one time
        return self.configuration.run(self.subject, self.rounds)

    @property
    def title(self) -> str:
        return " ".join((self.subject.arch.name, self.subject.workload, self.configuration.engine))


def measure(subjects: Sequence[Subject], repeat: int, progress: Progress, *, quick: bool = False) -> list[Row]:
    """A row for each configuration of each of *subjects*, ``bare`` first, after *repeat* repetitions over all of them.

    EngineError where two configurations that should do the same did not.
    """
    all_series = [[_Series(s, c) for c in configurations(s)] for s in subjects]
    with _little_garbage():
        _repeat(all_series, repeat, progress, quick=quick)
    return [_row(series, of_subject[0], repeat) for of_subject in all_series for series in of_subject]


@contextmanager
def _little_garbage() -> Iterator[None]:
    """What there is now is left out of every collection meanwhile, so that one after each run costs little."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _repeat(all_series: list[list[_Series]], repeat: int, progress: Progress, *, quick: bool) -> None:
    total = (repeat + 1) * sum(map(len, all_series))
    done = 0
    for repetition in range(repeat + 1):
        for of_subject in all_series:
            for series in of_subject:
                progress(done, total, series.title)
                done += 1
                if repetition == 0:
                    _calibrate(series, of_subject[0], quick=quick)
                else:
                    series.samples.append(series.run())
            if repetition:
                _same_output(of_subject)


def _calibrate(series: _Series, bare: _Series, *, quick: bool) -> None:
    """Warm up, and choose the rounds.  Counting does as many as bare, so that bare's output can be checked."""
    length, engine = series.subject.length, series.configuration.engine
    share = QUICK if quick else 1.0
    if quick and engine not in _FIRST:
        return  # plain Python has nothing to warm up, and one round takes it long enough
    series.rounds = length.rounds(int(_FIRST.get(engine, 0) * share))
    first = series.run()
    seconds = (BARE_S if engine == BARE else ENGINE_S) * share
    series.rounds = length.rounds(int(first.instructions * seconds / max(first.spent.cpu_s, 1e-6)))
    if engine == COUNTING:
        series.rounds = bare.rounds
    elif engine == NATIVE and not quick:
        series.rounds = length.rounds(_long_enough(series, first, seconds))


def _long_enough(series: _Series, first: Sample, seconds: float) -> int:
    """Instructions that take *seconds*, from *first* and a longer execution: what a program begins with, such as the
    first walks of a deep stack, may have been most of the first one's time.
    """
    series.rounds = max(series.rounds, series.subject.length.rounds(4 * first.instructions))
    second = series.run()
    each = (second.spent.cpu_s - first.spent.cpu_s) / (second.instructions - first.instructions)
    left = (seconds - second.spent.cpu_s) / each if each > 0 else 0.0
    return min(max(first.instructions, second.instructions + int(left)), 4 * second.instructions)


def _same_output(of_subject: list[_Series]) -> None:
    """Nothing counts what bare retires; but it printed what the counted run of as many rounds printed."""
    outputs = {s.samples[-1].output for s in of_subject if s.configuration.engine in {BARE, COUNTING}}
    if len(outputs) != 1:
        raise EngineError(f"{of_subject[0].subject.image.path}: bare and counted runs print different results")


def _row(series: _Series, bare: _Series, repeat: int) -> Row:
    pairs = list(zip(series.samples, bare.samples, strict=True))
    cpu = [(s.spent.cpu_s / s.instructions) / (b.spent.cpu_s / b.instructions) for s, b in pairs]
    wall = [(s.spent.wall_s / s.instructions) / (b.spent.wall_s / b.instructions) for s, b in pairs]
    cpu_s = median(s.spent.cpu_s for s in series.samples)
    wall_s = median(s.spent.wall_s for s in series.samples)
    instructions = series.samples[0].instructions
    return Row(
        arch=series.subject.arch.name,
        workload=series.subject.workload,
        proposal=series.subject.proposal,
        engine=series.configuration.engine,
        unwinders=series.configuration.unwinders,
        insn_per_s=instructions / cpu_s,
        x_bare=median(cpu),
        x_bare_min=min(cpu),
        x_bare_max=max(cpu),
        insn_per_wall_s=instructions / wall_s,
        x_bare_wall=median(wall),
        cpu_s=cpu_s,
        wall_s=wall_s,
        instructions=instructions,
        rounds=series.rounds,
        repeat=repeat,
        registers=", ".join(sorted({s.registers for s in series.samples})),
    )
