"""Where compilers differ in what they provoke, and the variants of ``base``: measured, or skipped by name."""

from __future__ import annotations

import pytest

from lab import registry
from lab.arch import arch_by_name
from lab.experiment import Experiment
from lab.images.toolchain import CLANGS, compiler_names, missing_compiler
from lab.job import Job, JobResult, run_job
from lab.machine.machine import Limits
from lab.runner import expand

VARIANTS = registry.names().variants


def judged(arch: str, compiler: str, workload: str, proposal: str = "base") -> JobResult:
    if reason := missing_compiler(compiler, arch_by_name(arch)):
        pytest.skip(reason)
    return run_job(Job(arch, compiler, workload, proposal, ("fp", "oracle"), ("call",), "small", Limits(), 0))


def loses(result: JobResult, function: str) -> bool:
    """Whether fp misses a caller at a call made by *function*."""
    rows = [row for row in result.verdicts if row.unwinder == "fp" and row.function == function]
    assert rows
    return any(row.verdict == "missing" for row in rows)


@pytest.mark.parametrize(
    ("arch", "compiler", "workload", "losing", "keeping"),
    [
        ("aarch64", "clang", "asmcall", ["unannounced", "constrained", "sometimes"], ["framed"]),
        ("aarch64", "gcc", "asmcall", [], ["unannounced", "constrained", "sometimes", "framed"]),
        ("x86_64", "clang", "thunkcall", [], ["conditional", "constrained"]),
        ("x86_64", "gcc", "thunkcall", ["conditional"], ["constrained"]),
        ("aarch64", "clang", "thunkcall", ["conditional", "constrained"], []),
        ("aarch64", "gcc", "thunkcall", [], ["conditional", "constrained"]),
    ],
)
def test_clang_and_gcc_differ_in_calls_they_do_not_know_of(
    arch: str, compiler: str, workload: str, losing: list[str], keeping: list[str]
) -> None:
    result = judged(arch, compiler, workload)
    assert [name for name in [*losing, *keeping] if loses(result, name)] == losing


@pytest.mark.parametrize("compiler", ["clang", "gcc"])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_built_and_its_oracle_is_exact_or_it_says_why_not(name: str, compiler: str) -> None:
    for arch in ("aarch64", "x86_64"):
        result = judged(arch, compiler, "shrinkwrap", name)
        for cell in result.cells:
            assert cell.unsupported == registry.proposal(name).unsupported(arch, compiler)
            if cell.unsupported is None and cell.unwinder == "oracle":
                assert cell.verdicts["exact"] == cell.stops > 0
        flags = registry.proposal(name).compiler_flags(arch)
        assert all(set(flags) <= set(image.flags) for image in result.images)


def test_a_run_that_names_no_proposal_leaves_the_variants_out_and_one_that_does_has_them() -> None:
    assert "base-O3" in VARIANTS
    assert not set(VARIANTS) & {job.proposal for job in expand(Experiment(workloads=["deep"]))}
    named = expand(Experiment(arches=["x86_64"], workloads=["deep"], proposals=["base-O3"]))
    assert [job.proposal for job in named] == ["base-O3"]


@pytest.mark.parametrize("name", CLANGS)
def test_a_further_clang_is_measured_or_its_row_names_it(name: str) -> None:
    assert name in compiler_names()
    for arch in ("aarch64", "x86_64"):
        job = Job(arch, name, "shrinkwrap", "base", ("oracle",), ("call",), "small", Limits(), 0)
        (cell,) = run_job(job).cells
        if missing_compiler(name, arch_by_name(arch)):
            title = arch_by_name(arch).title
            assert cell.unsupported == f"no {name} for {title} here: looked for {name}; on Debian install {name}"
        else:
            assert cell.verdicts["exact"] == cell.stops > 0
