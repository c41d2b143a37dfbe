"""Shadow stacks are kept right by the kernel: with the policies that return through them, or trap, nothing changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.images.image import load_image
from lab.images.workloads import workload_by_name
from lab.registry import proposal
from rewriters import rewrite
from tests.kernel.running import Run, kernel_image

DESIGNS = (
    ("aarch64", "scs-clang"),
    ("aarch64", "pac-register-use"),
    ("aarch64", "pac-memory-check"),
    ("aarch64", "xray-memory-use"),
    ("x86_64", "xray-memory-use"),
    ("x86_64", "xray-memory-check"),
)


@pytest.mark.parametrize(("arch", "name"), DESIGNS)
def test_a_shadow_stack_survives_interrupts_and_switches(arch: str, name: str, tmp_path: Path) -> None:
    design, workload = proposal(name), workload_by_name("shrinkwrap")
    image = kernel_image(arch, workload.name, tuple(design.compiler_flags(arch)))
    if design.rewrite is not None:
        made = rewrite(image, design.rewrite.mode, design.rewrite.flavour, design.rewrite.policy)
        path = tmp_path / "rewritten.elf"
        path.write_bytes(made.data)
        image = load_image(path)
    counts = []
    for every in (0, 3):
        run = Run(image, every)
        outcome = run.go()
        assert outcome.status == 0, outcome
        assert outcome.output.decode() == workload.expected_output("small")
        counts.append(run.own)
    assert counts[0] == counts[1]
    assert run.taken > counts[1] // 3
    assert run.nested > 0
