"""A workload gives its result as a task of the kernel, however often it is interrupted, and does the same work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab import job as job_module
from lab.arch import arch_by_name
from lab.errors import EngineError, InputError
from lab.images.build import build
from lab.images.image import load_image
from lab.images.workloads import workload_by_name
from lab.job import Job
from lab.machine.exceptions import DEVICE, TIMER
from lab.machine.machine import Limits, Machine
from tests.kernel.running import Run, kernel_image, plain_image
from tests.support import ARCH_NAMES

WORKLOADS = ("longjmp", "shrinkwrap", "strtod", "tree")


def finished(run: Run, workload: str) -> Run:
    outcome = run.go()
    assert outcome.status == 0, outcome
    assert outcome.output.decode() == workload_by_name(workload).expected_output("small")
    return run


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_result_and_the_work_do_not_depend_on_interrupts(workload: str, arch: str) -> None:
    image = kernel_image(arch, workload)
    alone = finished(Run(image), workload)
    assert alone.taken == 0
    assert alone.switches > 2, "it waits for others by itself"
    for every, source in ((7, TIMER), (61, TIMER), (13, DEVICE)):
        run = finished(Run(image, every, source), workload)
        assert run.own == alone.own
        assert run.taken > run.own // every > 0
        assert run.nested > 0
        if source == TIMER:
            assert run.switches > alone.switches + run.own // every, "a tick takes the processor away"
        else:
            assert run.switches == alone.switches


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_every_instruction_of_a_workload_can_be_interrupted(arch: str) -> None:
    run = finished(Run(kernel_image(arch, "shrinkwrap"), 1), "shrinkwrap")
    assert run.taken > run.own
    assert run.in_user > 100
    assert run.total > 100 * run.own


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_workload_itself_is_the_one_of_the_plain_image(arch: str) -> None:
    """Function by function, but for addresses: the same sizes of everything that is not the kernel's."""
    plain, kernel = load_image(plain_image(arch, "tree")), kernel_image(arch, "tree")
    sizes = {f.name: f.size for f in kernel.functions}
    shared = [f for f in plain.functions if f.name not in {"_start", "lab_write", "lab_exit"}]
    assert len(shared) > 5
    assert [f.name for f in shared if sizes.get(f.name) != f.size] == []


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_plain_image_has_no_exceptions(arch: str) -> None:
    assert Machine(load_image(plain_image(arch, "tree"))).exceptions is None


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_masked_interrupt_is_not_taken(arch: str) -> None:
    def watch(run: Run, pc: int) -> None:
        if pc == run.symbol("vector_irq"):
            run.exceptions.interrupt(TIMER)

    with pytest.raises(EngineError, match="interrupts are masked at vector_irq"):
        Run(kernel_image(arch, "tree"), 500, watch=watch).go()


def test_an_unknown_runtime_is_refused() -> None:
    tree = workload_by_name("tree")
    with pytest.raises(InputError, match="unknown runtime 'unikernel'; known: plain, kernel"):
        build(tree, kernel_image("aarch64", "tree").arch, runtime="unikernel")


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_header_may_ask_for_the_kernel(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asks = replace(workload_by_name("deep"), runtime="kernel")
    assert build(asks, arch_by_name(arch)) == build(workload_by_name("deep"), arch_by_name(arch), runtime="kernel")
    assert build(asks, arch_by_name(arch), runtime="plain") == build(workload_by_name("deep"), arch_by_name(arch))
    monkeypatch.setattr(job_module, "workload_by_name", lambda _: asks)
    job = Job(arch, "clang", "deep", "base", (), ("call",), "small", Limits(), 0)
    assert job.runtime == "kernel"
    refused = job_module.unsupported(replace(job, proposal="xray-memory-use"))
    assert refused == "deep runs in the small kernel, which is not rewritten"
