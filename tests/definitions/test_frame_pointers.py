"""definitions: What the built-in designs see (frame pointers on both architectures)."""

from __future__ import annotations

import pytest

from lab.arch.decode import Kind, decode_one
from lab.images.image import Image
from lab.registry import unwinder
from lab.unwind.api import BOUNDARY, CALL
from tests.support import ARCH_NAMES, compile_c, execute, verdicts

PROGRAM = """
__attribute__((noinline)) long leaf(long x) { __asm__ volatile("" : "+r"(x)); return x * 3 + 1; }
__attribute__((noinline)) long twice(long x) { return leaf(x) + leaf(x + 1); }
int test_main(void) { return twice(1) != 11; }
"""
DESIGN = {"aarch64": "fp", "x86_64": "fp-x86"}
RELIABLE = {"aarch64": "fp-reliable", "x86_64": "fp-x86-reliable"}


def reported(image: Image, arch: str, pc: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the plain walk reports at the first stop at *pc* where it is not exact, and what is true there."""
    stacks = execute(image, unwinder(DESIGN[arch]), modes=("boundary",)).stacks
    return next((kept.reported, kept.truth) for kept in stacks if kept.pc == pc)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_caller_of_a_function_that_has_not_built_its_frame_is_skipped(arch: str) -> None:
    """Derived: the link register after an exception, and the top of the stack, are not looked at."""
    image = compile_c(arch, PROGRAM)
    found, truth = reported(image, arch, image.symbols["twice"])
    assert found == truth[1:]


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_caller_of_an_interrupted_leaf_is_skipped(arch: str) -> None:
    """Derived: a leaf without a frame record, at its last instruction."""
    image = compile_c(arch, PROGRAM, "-momit-leaf-frame-pointer")
    leaf = image.function_at(image.symbols["leaf"])
    assert leaf is not None
    pcs = range(leaf.start, leaf.end, image.arch.insn_align)
    last = next(
        pc for pc in pcs if decode_one(image.arch, image.read(pc, 1 if arch == "x86_64" else 4), pc).kind is Kind.RETURN
    )
    found, truth = reported(image, arch, last)
    assert found == truth[1:]


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_reliable_walk_refuses_everywhere_in_boundary_and_is_exact_at_calls(arch: str) -> None:
    execution = execute(compile_c(arch, PROGRAM), unwinder(RELIABLE[arch]))
    assert verdicts(execution, BOUNDARY) == {"refused": execution.instructions}
    assert verdicts(execution, CALL) == {"exact": execution.calls}
