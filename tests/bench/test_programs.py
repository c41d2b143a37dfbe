"""The bench programs: built on both architectures, of a length that is exactly linear in the rounds, and rewritable."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.arch import ARCHES, Arch, arch_by_name
from lab.bench.programs import (
    PROGRAMS,
    SOURCES,
    Length,
    bench_image,
    measure_length,
    prepared,
    program_by_name,
    set_rounds,
)
from lab.cost.counts import count
from lab.cost.native.programs import BODIES
from lab.engine.reference import Plan, ReferenceEngine
from lab.errors import EngineError, InputError, UnsupportedError
from lab.images.image import Image, load_image
from lab.layout import RewriteMap
from lab.machine.machine import Limits, Machine
from tests.support import assemble

NAMES = tuple(program.name for program in PROGRAMS)
EVERY = [(name, arch) for name in NAMES for arch in ARCHES]
IDS = [f"{name}-{arch.name}" for name, arch in EVERY]
A64, X86 = arch_by_name("aarch64"), arch_by_name("x86_64")


def ready(image: Image, rewrite: RewriteMap | None, rounds: int) -> ReferenceEngine:
    """An engine that judges nobody, ready to run *rounds* rounds."""
    engine = ReferenceEngine(image, rewrite, Plan((), ()))
    set_rounds(engine.machine, image, rounds)
    return engine


@pytest.mark.parametrize(("name", "arch"), EVERY, ids=IDS)
def test_it_runs_some_twenty_thousand_instructions_and_any_other_number_on_demand(name: str, arch: Arch) -> None:
    image = load_image(bench_image(name, arch))
    length = measure_length(image, None)
    plain = count(image, None, Limits())
    assert plain.outcome.status == 0
    assert plain.instructions == length.instructions(program_by_name(name).rounds)
    assert 15_000 < plain.instructions < 30_000
    run = ready(image, None, 5).run()
    assert run.instructions == length.instructions(5)
    assert run.outcome.status == 0
    assert length.rounds(length.instructions(1000)) == 1000


@pytest.mark.parametrize("name", NAMES)
def test_both_architectures_compute_the_same(name: str) -> None:
    first, second = (ready(load_image(bench_image(name, arch)), None, 7).run().outcome.output for arch in (A64, X86))
    assert first == second
    assert first.startswith(b"result 0x")


@pytest.mark.parametrize("arch", ARCHES, ids=lambda arch: arch.name)
def test_each_program_is_what_its_name_says(arch: Arch) -> None:
    counts = {name: count(load_image(bench_image(name, arch)), None, Limits()) for name in NAMES}
    per_call = {name: found.instructions / found.calls for name, found in counts.items()}
    assert 20 < per_call["calls"] < 40
    assert 20 < per_call["depth-10"] < 40
    assert per_call["loop"] > 500
    assert counts["strings"].stores > counts["strings"].instructions / 12


@pytest.mark.parametrize("arch", ARCHES, ids=lambda arch: arch.name)
@pytest.mark.parametrize("depth", [10, 1000])
def test_the_work_is_done_below_so_many_frames(depth: int, arch: Arch) -> None:
    image = load_image(bench_image(f"depth-{depth}", arch))
    depths = []

    class Watch(ReferenceEngine):
        def _instruction(self, pc: int) -> None:
            super()._instruction(pc)
            if pc == image.symbols["bench_calls"]:
                depths.append(self.truth.depth)

    engine = Watch(image, None, Plan((), ()))
    set_rounds(engine.machine, image, 3)
    assert engine.run().outcome.status == 0
    assert depths == [depth + 1] * 3  # the calls that lead to ``work``, and its own


PROPOSALS = [
    (A64, "pac-register-use"),
    (A64, "xray-register-record"),
    (A64, "xray-memory-record"),
    (X86, "xray-memory-record"),
    (X86, "xray-parallel-check"),
]


@pytest.mark.parametrize(("arch", "proposal"), PROPOSALS, ids=[f"{p}-{a.name}" for a, p in PROPOSALS])
@pytest.mark.parametrize("name", ["calls", "depth-1000"])
def test_it_can_be_rewritten_and_stays_linear(name: str, arch: Arch, proposal: str) -> None:
    image, rewrite = prepared(name, arch, proposal)
    assert rewrite is not None
    assert rewrite.checks["same_result"] == rewrite.checks["shadow_balance"] == "passed"
    names = {function.name for function in image.functions}
    assert rewrite.census.instrumented > len(names) / 3
    length = measure_length(image, rewrite)
    assert length.per_round > measure_length(load_image(bench_image(name, arch)), None).per_round
    assert ready(image, rewrite, 4).run().instructions == length.instructions(4)


def test_a_proposal_without_a_rewrite_gives_no_map() -> None:
    image, rewrite = prepared("calls", X86, "xray")
    assert rewrite is None
    assert image.sha256 != prepared("calls", X86, "base")[0].sha256


def test_what_does_not_exist_is_one_line() -> None:
    with pytest.raises(InputError, match="unknown bench program 'speed'; known: calls, depth-10"):
        bench_image("speed", A64)
    with pytest.raises(UnsupportedError, match="pac-register-use"):
        prepared("calls", X86, "pac-register-use")
    other = assemble("aarch64", "FUNC test_main\n mov w0, #3\n ret\nEND test_main\n")
    with pytest.raises(InputError, match="not a bench program"):
        set_rounds(Machine(other), other, 1)


def test_a_program_that_ends_badly_is_an_error() -> None:
    body = "FUNC test_main\n mov w0, #3\n ret\nEND test_main\n .data\n .balign 8\nunwindlab_rounds: .quad 0\n"
    with pytest.raises(EngineError, match="ended with"):
        measure_length(assemble("aarch64", body), None)


def test_rounds_for_a_number_of_instructions() -> None:
    length = Length(fixed=100, per_round=40)
    assert [length.rounds(n) for n in (0, 140, 161, 10_100)] == [1, 1, 2, 250]


def test_every_source_belongs_to_a_program() -> None:
    used = {program.source for program in (*PROGRAMS, *BODIES)}
    found = {path.name for path in Path(SOURCES).iterdir() if path.suffix == ".c"}
    assert found == used
