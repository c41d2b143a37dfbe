"""Every workload, on every architecture, unfilled and filled: the known result, and an oracle that is exact."""

from __future__ import annotations

import pytest

from lab.images.workloads import all_workloads
from lab.job import Job, JobResult, run_job, unsupported
from lab.machine.machine import Limits
from lab.registry import all_unwinders, proposal
from lab.store.rows import Cell
from tests.support import ARCH_NAMES

PAIRS = [pytest.param(w.name, arch, id=f"{w.name}-{arch}") for w in all_workloads() for arch in w.arches]
CHANGING = frozenset(w.name for w in all_workloads() if w.changes_code)
"""They write code while they run."""
FILLED = ("pac-register-use", "pac-memory-check", "xray-memory-check", "xray-parallel-use")


def judged(arch: str, workload: str, name: str, unwinders: tuple[str, ...]) -> JobResult:
    """The job's rows; it raises unless the program's own result is the known one and counts sum."""
    return run_job(Job(arch, "clang", workload, name, unwinders, ("boundary", "call"), "small", Limits(), 2))


def of(result: JobResult, unwinder: str) -> list[Cell]:
    return [cell for cell in result.cells if cell.unwinder == unwinder and cell.unsupported is None]


@pytest.mark.parametrize(("workload", "arch"), PAIRS)
def test_oracle_is_exact_and_nothing_crashes_on_the_plain_image(workload: str, arch: str) -> None:
    result = judged(arch, workload, "base", tuple(u.name for u in all_unwinders()))
    oracle = of(result, "oracle")
    assert {cell.mode for cell in oracle} == {"boundary", "call"}
    for cell in oracle:
        assert cell.verdicts["exact"] == cell.stops > 0
    assert not any(cell.verdicts["crash"] for cell in result.cells)
    assert all(cell.verdicts["refused"] == cell.stops for cell in of(result, "fp-reliable") if cell.mode == "boundary")


@pytest.mark.parametrize("name", FILLED)
@pytest.mark.parametrize(("workload", "arch"), PAIRS)
def test_filled_images_keep_their_result_and_their_truth(workload: str, name: str, arch: str) -> None:
    """The rewrite is verified (same result, shadow balance) and the oracle is exact in inserted code as well."""
    job = Job(arch, "clang", workload, name, ("oracle",), ("boundary", "call"), "small", Limits(), 2)
    if reason := unsupported(job):
        assert [cell.unsupported for cell in run_job(job).cells] == [reason] * 2
        assert reason == proposal(name).unsupported(arch) or workload in CHANGING
        return
    result = judged(arch, workload, name, ("oracle",))
    for cell in of(result, "oracle"):
        assert cell.verdicts["exact"] == cell.stops > 0
    boundary = next(cell for cell in of(result, "oracle") if cell.mode == "boundary")
    assert sum(boundary.by_region.get("inserted", {}).values()) > 0, "inserted code really ran"
    (cost,) = result.costs
    assert cost.instructions > cost.base_instructions
    assert cost.stores >= cost.base_stores


def test_at_least_half_of_the_workloads_run_code_nobody_here_wrote() -> None:
    """But for those that are there to show a failure, as their headers say."""
    ordinary = [w for w in all_workloads() if not any(claim.kind == "fails" for claim in w.claims)]
    foreign = [workload for workload in ordinary if workload.foreign]
    assert len(ordinary) >= 14
    assert 2 * len(foreign) >= len(ordinary)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_smash_makes_the_plain_walk_lie_and_leaves_the_shadow_stack_alone(arch: str) -> None:
    name = "xray-memory-use"
    result = judged(arch, "smash", name, ("fp", "scs-lr"))
    verdicts = {(cell.unwinder, cell.mode): cell.verdicts for cell in result.cells}
    assert verdicts["fp", "call"]["missing"] > 0
    assert verdicts["scs-lr", "call"]["missing"] == 0
    assert verdicts["scs-lr", "boundary"]["missing"] == 0


def test_noreturn_last_is_exact_but_not_covered() -> None:
    result = judged("aarch64", "noreturn", "base", ("oracle",))
    for cell in of(result, "oracle"):
        assert cell.verdicts["exact"] == cell.stops
        assert cell.covers < cell.stops


def test_what_the_rewriter_refuses_is_unsupported_with_its_reason_and_no_path() -> None:
    cells = judged("aarch64", "stackswitch", "detour-register-record", ("fp", "scs")).cells
    assert len(cells) == 4
    for cell in cells:
        assert cell.unsupported is not None
        assert cell.unsupported.startswith("not rewritten: by_fp switches stacks: ")
        assert "/" not in cell.unsupported
