"""Compilers' own shadow call stacks beside ours, and the second compiler: rows with counts, or with the reason."""

from __future__ import annotations

import pytest

from lab import job as job_module
from lab.arch import AARCH64, Arch, arch_by_name
from lab.experiment import Experiment
from lab.images.toolchain import missing_compiler
from lab.images.workloads import all_workloads
from lab.job import Job, JobResult, run_job
from lab.machine.machine import Limits
from lab.proposals.api import Proposal
from lab.registry import proposal
from lab.runner import expand
from tests.support import ARCH_NAMES

OWN = {"scs-clang": "clang", "scs-gcc": "gcc"}
SHAPES = ("longjmp", "noreturn", "shrinkwrap", "tailcall", "alloca", "funptr")


def need(compiler: str, arch: Arch) -> None:
    """Skip, by name, where *compiler* is not installed."""
    if reason := missing_compiler(compiler, arch):
        pytest.skip(reason)


def judged(name: str, workload: str, arch: str = "aarch64", compiler: str = "") -> JobResult:
    own = compiler or proposal(name).compiler or "clang"
    unwinders = ("oracle", "scs", "scs-lr")
    return run_job(Job(arch, own, workload, name, unwinders, ("boundary", "call"), "small", Limits(), 2))


@pytest.mark.parametrize("workload", SHAPES)
@pytest.mark.parametrize("name", OWN)
def test_a_compilers_own_scheme_is_judged_as_ours_are(name: str, workload: str) -> None:
    need(OWN[name], AARCH64)
    result = judged(name, workload)
    verdicts = {(cell.unwinder, cell.mode): (cell.verdicts, cell.stops) for cell in result.cells}
    for mode in ("boundary", "call"):
        assert verdicts["oracle", mode][0]["exact"] == verdicts["oracle", mode][1] > 0
        seen, stops = verdicts["scs-lr", mode]
        assert seen["missing"] == seen["extra"] == seen["crash"] == 0
        assert seen["exact"] > 0.8 * stops
    (image,) = result.images
    assert image.compiler == OWN[name]
    assert 0 < (image.instrumented or 0) < image.functions
    assert len(image.left_out) == image.functions - (image.instrumented or 0)
    (cost,) = result.costs
    assert cost.baseline == "base"
    assert 0 < cost.instructions - cost.base_instructions <= 2 * cost.calls


def test_clangs_own_costs_no_more_than_what_is_filled_into_the_same_places() -> None:
    """pac-ret's sites and the sanitizer's are in the same functions: those that spill their return address."""
    (own,), (ours,) = judged("scs-clang", "regex").costs, judged("pac-register-use", "regex").costs
    assert own.base_instructions == ours.base_instructions
    assert own.instructions - own.base_instructions <= ours.instructions - ours.base_instructions


@pytest.mark.parametrize("name", OWN)
def test_on_x86_64_there_is_none_and_the_row_says_so(name: str) -> None:
    cells = judged(name, "leaf", "x86_64").cells
    assert len(cells) == 6
    assert all("no compiler has a shadow call stack for x86-64" in (cell.unsupported or "") for cell in cells)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_without_gcc_its_rows_name_what_is_not_installed(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "missing_compiler", lambda name, arch: f"no {name}: looked for {arch.triple}-gcc")
    for name in ("base", "scs-gcc"):
        for cell in judged(name, "leaf", arch, "gcc").cells:
            expected = proposal(name).unsupported(arch, "gcc") or f"no gcc: looked for {arch}-linux-gnu-gcc"
            assert cell.unsupported == expected


def test_what_one_compiler_cannot_do_is_said_of_that_compiler() -> None:
    assert proposal("xray").unsupported("aarch64", "gcc") == "gcc has no XRay sleds (-fxray-instrument is clang's)"
    assert proposal("xray-memory-use").unsupported("x86_64", "gcc") is not None
    assert proposal("xray").unsupported("aarch64", "clang") is None
    assert proposal("scs-gcc").unsupported("aarch64", "clang") == "scs-gcc is gcc's own"
    assert Proposal("x", "x", arches=("x86_64",), absent="no").unsupported("aarch64", "gcc") == "no"


def test_a_compilers_own_scheme_is_built_by_that_compiler_once() -> None:
    experiment = Experiment(
        arches=["aarch64"],
        workloads=["leaf"],
        proposals=["base", "scs-clang", "scs-gcc"],
        compilers=["clang", "gcc"],
    )
    jobs = [(job.compiler, job.proposal) for job in expand(experiment)]
    assert sorted(jobs) == [("clang", "base"), ("clang", "scs-clang"), ("gcc", "base"), ("gcc", "scs-gcc")]


@pytest.mark.parametrize(("workload", "arch"), [(w.name, arch) for w in all_workloads() for arch in w.arches])
def test_the_corpus_has_its_known_results_under_gcc(workload: str, arch: str) -> None:
    """Or the reason why not: 64-bit long double on AArch64, a thread pointer on x86-64."""
    need("gcc", arch_by_name(arch))
    cells = judged("base", workload, arch, "gcc").cells
    reasons = {cell.unsupported for cell in cells if cell.unwinder == "oracle"} - {None}
    if reasons:
        (reason,) = reasons
        assert "64-bit long double" in reason or reason.startswith("fnmatch cannot be built by gcc for x86-64")
    else:
        assert all(cell.verdicts["exact"] == cell.stops > 0 for cell in cells if cell.unwinder == "oracle")
