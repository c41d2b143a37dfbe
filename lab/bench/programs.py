"""Building the bench programs, and making them run as long as one likes.

Each runs ``unwindlab_rounds`` rounds of equal length.  The number stands in the image's data: the images are built
with a small one, so that a rewrite is proved quickly, and ``set_rounds`` writes another into a loaded machine.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from lab import registry
from lab.arch import ARCHES, Arch
from lab.errors import EngineError, InputError, UnsupportedError
from lab.images.build import build
from lab.images.cache import cache_folder
from lab.images.image import Image, load_image
from lab.images.workloads import Workload
from lab.layout import RewriteMap
from lab.machine.machine import End, Limits, Machine
from lab.rewriting import with_shadow

SOURCES = Path(__file__).parent / "programs"
ROUNDS = "unwindlab_rounds"


@dataclass(frozen=True)
class Program:
    """One bench program: its source, the rounds it is built with, and the compiler's further definitions."""

    name: str
    title: str
    source: str
    rounds: int
    defines: tuple[str, ...] = ()

    def workload(self) -> Workload:
        """The program as the image builder takes it.  It belongs to no row of the field table."""
        return Workload(
            name=f"bench-{self.name}",
            path=SOURCES / self.source,
            title=self.title,
            rows=(),
            flags=(f"-DBENCH_ROUNDS={self.rounds}", *self.defines),
            arches=tuple(arch.name for arch in ARCHES),
            floating=False,
            musl=(),
            musl_included=(),
            expect=MappingProxyType({}),
        )


PROGRAMS = (
    Program("calls", "many small functions, a few levels deep", "calls.c", 28),
    Program("depth-10", "the same below 10 frames", "depth.c", 28, ("-DBENCH_DEPTH=10",)),
    Program("depth-1000", "the same below 1,000 frames", "depth.c", 8, ("-DBENCH_DEPTH=1000",)),
    Program("recursion", "Fibonacci by recursion", "recursion.c", 12),
    Program("callbacks", "a sort that compares through a callback", "callbacks.c", 7),
    Program("loop", "a tight loop", "loop.c", 14),
    Program("strings", "byte stores and string instructions", "strings.c", 6),
)


def program_by_name(name: str) -> Program:
    """The bench program called *name*; InputError (exit 2) if there is none."""
    found = {program.name: program for program in PROGRAMS}.get(name)
    if found is None:
        raise InputError(f"unknown bench program '{name}'; known: {', '.join(p.name for p in PROGRAMS)}")
    return found


def bench_image(name: str, arch: Arch, flags: Sequence[str] = ()) -> Path:
    """The image of bench program *name* for *arch*, from the cache or built now, as a workload of the corpus is.

    *flags* are a proposal's compiler flags.  Errors are those of lab.images.build.build.
    """
    return build(program_by_name(name).workload(), arch, flags)


def prepared(name: str, arch: Arch, proposal: str) -> tuple[Image, RewriteMap | None]:
    """The image under *proposal* (a registered name), rewritten and verified where the proposal says so; and its map.

    UnsupportedError (exit 2) where the proposal does not exist on *arch*.
    """
    asked = registry.proposal(proposal)
    reason = asked.unsupported(arch.name)
    if reason is not None:
        raise UnsupportedError(f"proposal '{proposal}': {reason}")
    image = load_image(bench_image(name, arch, asked.compiler_flags(arch.name)))
    return with_shadow(image, asked, Limits(), cache_folder())


def set_rounds(machine: Machine, image: Image, rounds: int) -> None:
    """Make the bench program loaded in *machine*, not yet run, do *rounds* rounds (0 .. 2**64 - 1).

    InputError (exit 2) if *image* is no bench program.
    """
    address = image.symbols.get(ROUNDS)
    if address is None:
        raise InputError(f"{image.path}: no symbol '{ROUNDS}': not a bench program")
    machine.memory.write(address, struct.pack("<Q", rounds))


@dataclass(frozen=True)
class Length:
    """Instructions a bench program executes: ``fixed`` once, ``per_round`` in each round."""

    fixed: int
    per_round: int

    def rounds(self, instructions: int) -> int:
        """The rounds (1 at least) that come nearest to *instructions* in all."""
        return max(1, round((instructions - self.fixed) / self.per_round))

    def instructions(self, rounds: int) -> int:
        """What *rounds* rounds execute."""
        return self.fixed + rounds * self.per_round


def measure_length(image: Image, rewrite: RewriteMap | None) -> Length:
    """Counted in two short executions.  EngineError if the program does not end well."""
    one, two = (_instructions(image, rewrite, rounds) for rounds in (1, 2))
    return Length(fixed=2 * one - two, per_round=two - one)


def _instructions(image: Image, rewrite: RewriteMap | None, rounds: int) -> int:
    machine = Machine(image, rewrite.layout if rewrite else None)
    set_rounds(machine, image, rounds)
    count = 0

    def instruction(_pc: int) -> None:
        nonlocal count
        count += 1

    outcome = machine.execute(instruction)
    if outcome.end is not End.EXIT or outcome.status != 0:
        raise EngineError(f"{image.path}: {rounds} rounds ended with {outcome.result} {outcome.detail}".rstrip())
    return count
