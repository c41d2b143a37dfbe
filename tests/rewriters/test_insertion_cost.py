"""What insertion costs at run time, beside clang's own shadow call stack: the same, or less."""

from __future__ import annotations

from typing import Any

import pytest
import unicorn

from lab.arch import AARCH64
from lab.images.build import build
from lab.images.image import Image, load_image, parse_image
from lab.images.workloads import workload_by_name
from lab.layout import Flavour, Leaves, Policy, Region, ShadowLayout
from lab.machine.machine import Machine
from rewriters import rewrite

X18 = "-ffixed-x18"
#: What clang's images need of the machine: storage, and x18 set to it.
CLANG = ShadowLayout(Flavour.REGISTER, "register", Policy.USE, "x18", None, None, 0, 0, "environment", ())


def _executed(image: Image, layout: ShadowLayout | None) -> tuple[int, str]:
    """Instructions executed, and how the run ended."""
    machine = Machine(image, layout)
    total = 0

    def block(_uc: Any, _address: int, size: int, _data: object) -> None:
        nonlocal total
        total += size // 4

    machine.cpu.hook_add(unicorn.UC_HOOK_BLOCK, block)
    ended = machine.execute_native(0, 0).result
    return total, ended


@pytest.mark.parametrize("name", ["plural", "tree", "largefn", "early", "printf"])
def test_no_more_instructions_than_clangs_own(name: str) -> None:
    """Register flavour, return through the shadow, leaves alone: jump tables, shrink-wrapped frames, tail calls, long
    functions.  The entry stub runs once and is not part of any function."""
    workload = workload_by_name(name)
    path = build(workload, AARCH64, (X18,))
    image = load_image(path)
    plain, ended = _executed(image, None)
    clang, _ = _executed(load_image(build(workload, AARCH64, ("-fsanitize=shadow-call-stack", X18))), CLANG)
    done = rewrite(image, "insertion", Flavour.REGISTER, Policy.USE, Leaves.SKIP)
    ours, same = _executed(parse_image(done.data, path), done.map.layout)
    stub = next(p for p in done.map.inserted if p.region is Region.TRAMPOLINE and not p.function)
    assert same == ended
    assert 0 < ours - plain - (stub.end - stub.start) // 4 <= clang - plain
