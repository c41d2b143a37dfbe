"""A compiler's own shadow call stack is read from the code: where its entries are, and what is not understood."""

from __future__ import annotations

import dataclasses

import pytest

from lab import rewriting
from lab.errors import RefusedError, UnsupportedError
from lab.images.image import Image
from lab.layout import Flavour, LayoutRow, Leaves, Region, RewriteMap, Where
from lab.machine.machine import Limits
from rewriters.compiled import map_of_compiled
from tests.support import assemble, compile_c

PUSH, POP = "str x30, [x18], #8", "ldr x30, [x18, #-8]!"
MAIN = f"""
FUNC test_main
 {PUSH}
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 bl leaf
 mov w0, #0
 ldp x29, x30, [sp], #16
 {POP}
 ret
END test_main
FUNC leaf
 mov x0, #1
 ret
END leaf
"""


def where(found: RewriteMap, image: Image, name: str) -> list[Where]:
    """The answer per instruction of function *name*."""
    function = next(f for f in image.functions if name in f.names)
    rows = {a: row.where for row in found.layout.rows for a in range(row.start, row.end, 4)}
    return [rows[a] for a in range(function.start, function.end, 4)]


def test_rows_follow_the_compilers_own_push_and_pop() -> None:
    image = assemble("aarch64", MAIN)
    found = map_of_compiled(image)
    lr, shadow = Where.LR, Where.SHADOW
    assert where(found, image, "test_main") == [lr, *[shadow] * 6, lr]
    assert where(found, image, "leaf") == [lr, lr]
    assert set(where(found, image, "_start")) == {Where.OUTERMOST}
    layout = found.layout
    assert (layout.flavour, layout.register, layout.provider) == (Flavour.REGISTER, "x18", "environment")
    assert (found.inserted, found.leaves, found.mode) == ((), Leaves.SKIP, "compiler")
    assert found.source_sha256 == found.output_sha256 == image.sha256
    assert found.region(image.symbols["test_main"]) is Region.ORIGINAL
    assert found.problem() == ""


def test_the_census_has_a_reason_for_every_function_without_a_push() -> None:
    image = assemble("aarch64", MAIN + "FUNC lost\n mov x9, x30\n bl leaf\n ret x9\nEND lost\n")
    census = map_of_compiled(image).census
    assert (census.functions, census.instrumented, census.sites) == (4, 1, 2)
    reasons = {out.function: out.reason for out in census.left_out}
    assert set(reasons) == {"_start", "leaf", "lost"}
    assert "in the link register" in reasons["leaf"]
    assert "without a push" in reasons["lost"]
    assert "nobody to return to" in reasons["_start"]
    assert set(where(map_of_compiled(image), image, "lost")) == {Where.UNKNOWN}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (f" {PUSH}\n bl leaf\n ret", "returns without a pop"),
        (f" {PUSH}\n {PUSH}\n bl leaf\n {POP}\n ret", "push twice"),
        (f" {PUSH}\n bl leaf\n {POP}\n {POP}\n ret", "has not pushed"),
        (f" cbz x0, 1f\n {PUSH}\n1: bl leaf\n {POP}\n ret", "with and without a push"),
    ],
)
def test_what_does_not_pair_up_is_unknown_not_guessed(body: str, reason: str) -> None:
    image = assemble("aarch64", MAIN + f"FUNC odd\n{body}\nEND odd\n")
    found = map_of_compiled(image)
    assert set(where(found, image, "odd")) == {Where.UNKNOWN}
    assert reason in next(out.reason for out in found.census.left_out if out.function == "odd")
    assert found.census.instrumented == 1


def test_a_cold_part_is_walked_with_its_function() -> None:
    """It is entered with the frame up: alone it would look like a function that has not pushed."""
    body = f"""
FUNC parts
 {PUSH}
 cbz x0, parts.cold
 bl leaf
1: {POP}
 ret
END parts
FUNC parts.cold
 bl leaf
 b 1b
END parts.cold
"""
    image = assemble("aarch64", MAIN + body)
    found = map_of_compiled(image)
    assert where(found, image, "parts") == [Where.LR, *[Where.SHADOW] * 3, Where.LR]
    assert where(found, image, "parts.cold") == [Where.SHADOW] * 2


def test_a_function_entered_in_its_middle_is_unknown() -> None:
    image = assemble(
        "aarch64", MAIN + f"FUNC odd\n {PUSH}\nmid: bl leaf\n {POP}\n ret\nEND odd\nFUNC j\n b mid\nEND j\n"
    )
    assert set(where(map_of_compiled(image), image, "odd")) == {Where.UNKNOWN}


def test_images_without_one_and_architectures_without_one_are_named() -> None:
    with pytest.raises(RefusedError, match="no shadow call stack in it; build with -fsanitize=shadow-call-stack"):
        map_of_compiled(assemble("aarch64", "FUNC test_main\n mov w0, #0\n ret\nEND test_main\n"))
    with pytest.raises(UnsupportedError, match="no compiler has a shadow call stack for x86-64"):
        map_of_compiled(assemble("x86_64", "FUNC test_main\n xor %eax, %eax\n ret\nEND test_main\n"))


PROGRAM = """
__attribute__((noinline)) long leaf(long x) { return x * 3 + 1; }
__attribute__((noinline)) long twice(long x) { volatile long y = leaf(x); return y + leaf(x + 1); }
int test_main(void) { return twice(1) != 11; }
"""


def test_the_layout_is_proved_by_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    image = compile_c("aarch64", PROGRAM, "-fsanitize=shadow-call-stack", "-ffixed-x18")
    made = rewriting.compiled(image, Limits())
    assert made.checks["shadow_balance_stops"] > 10
    assert made.census.instrumented == 2

    def early(image: Image) -> RewriteMap:
        """Every push said to have happened one instruction before it does."""
        found = map_of_compiled(image)
        rows = []
        for row in found.layout.rows:
            shift = 4 if row.where is Where.SHADOW else 0
            rows.append(LayoutRow(row.start - shift, row.end, row.where, row.offset, row.reason))
            if shift:
                rows[-2] = dataclasses.replace(rows[-2], end=rows[-2].end - 4)
        kept = tuple(row for row in rows if row.start < row.end)
        return dataclasses.replace(found, layout=dataclasses.replace(found.layout, rows=kept))

    monkeypatch.setattr(rewriting, "map_of_compiled", early)
    with pytest.raises(RefusedError, match=r"not where its code says: (twice|test_main)\+0x0"):
        rewriting.compiled(image, Limits())
