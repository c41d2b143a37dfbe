"""definitions: the third way an activation ends, where frame descriptions tell the functions and no symbol does."""

from __future__ import annotations

import dataclasses

import pytest

from lab.covers import Coverage
from lab.fragments import parents
from lab.images.image import Image
from lab.registry import unwinder
from tests.definitions.test_endings import LONGJMP
from tests.definitions.watching import Trace, Watch
from tests.engine.native.agreement import assert_agree, case
from tests.support import ARCH_NAMES, assemble

#: ``whole`` calls itself without a frame (its return address is kept in x19, then x20) and has a part of its own
#: elsewhere, which jumps back into its middle at the SP of the outer activation's call.
RECURSION = """
FUNC test_main
        mov x21, x30
        mov w0, #0
        mov w1, #1
        bl whole
        mov w0, #0
        br x21
END test_main
FUNC whole
        cbz w1, part
        mov x19, x30
        mov w1, #0
        bl whole
        nop
back:   cmp w1, #2
        b.eq 1f
        br x19
1:      mov w1, #3
        ret
END whole
FUNC part
        mov w1, #2
        b back
END part
"""


def stripped(image: Image) -> Image:
    """The same image, as if only frame descriptions had told its functions."""
    functions = tuple(dataclasses.replace(f, symbol=False) for f in image.functions)
    return dataclasses.replace(image, functions=functions, stripped=True)


def seen(image: Image) -> list[tuple[str, Trace]]:
    engine = Watch(image)
    engine.run()
    return engine.seen


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_longjmp_comes_out_right_without_symbols(arch: str) -> None:
    image = assemble(arch, LONGJMP[arch])
    assert seen(stripped(image)) == seen(image)


@pytest.mark.parametrize(("arch", "body"), [*LONGJMP.items(), ("aarch64", RECURSION)])
def test_both_engines_agree_without_symbols(arch: str, body: str) -> None:
    execution = assert_agree(case(stripped(assemble(arch, body)), [unwinder("fp"), unwinder("oracle")]))
    oracle = [tally for tally in execution.tallies if tally.unwinder == 1]
    assert {tally.judgement.verdict.value for tally in oracle} == {"exact"}
    assert not any(tally.judgement.covers for tally in execution.tallies)


def test_a_part_that_jumps_back_is_no_landing() -> None:
    image = assemble("aarch64", RECURSION)
    traces = [trace for where, trace in seen(stripped(image)) if where == image.locate(image.symbols["back"])]
    assert [len(trace) for trace in traces] == [3, 2], "the inner activation, then the outer one"


def test_parts_are_counted_to_the_first_they_share_code_with() -> None:
    image = assemble("aarch64", RECURSION)
    whole, part = image.symbols["whole"], image.symbols["part"]
    assert parents(image) == {}
    assert parents(stripped(image)) == {part: whole}
    coverage = Coverage(stripped(image), None)
    assert (coverage.running(part), coverage.body(part), coverage.by_symbol(part)) == (part, whole, None)
    assert not coverage.known
    assert Coverage(image, None).known


def test_where_calls_push_no_part_is_looked_for() -> None:
    image = stripped(assemble("x86_64", LONGJMP["x86_64"]))
    assert parents(image) == {}
