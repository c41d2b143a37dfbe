"""How activations begin and end: one small assembled function a rule, on both architectures."""

from __future__ import annotations

import pytest

from tests.rewriters.census.asm import A64, X86, body_of, exits, look
from tests.rewriters.census.ways import A64_TEXT, X86_TEXT

EXPECTED: dict[str, dict[str, list[tuple[str, str | None]]]] = {
    A64: {
        "leaf": [("return", "x30")],
        "frame": [("return", "x30")],
        "big": [("return", "x30")],
        "vla": [("return", "x30")],
        "tail": [("tail", "target+0x0")],
        "tail_behind_pad": [("tail", "target+0x4")],
        "tail_framed": [("tail", "target+0x0")],
        "tail_if": [("tail-conditional", "target+0x0"), ("tail-conditional", "target+0x0"), ("return", "x30")],
        "tail_pointer": [("tail-indirect", "x16")],
        "tail_loaded": [("tail-indirect", "x1")],
        "tail_sum": [("tail-indirect", "x16")],
        "table_framed": [("return", "x30"), ("tail", "target+0x0")],
        "table_leaf": [("return", "x30"), ("return", "x30")],
        "other_register": [("return", "x15")],
        "through_x30": [("return", "x30")],
        "signed": [("return", "x30")],
        "again": [("return", "x30")],
        "forever": [],
        "dies": [],
        "dies_inside": [("return", "x30"), ("return", "x30")],
        "goes_out": [("tail-conditional", "nobody"), ("tail", "nobody")],
    },
    X86: {
        "leaf": [("return", None)],
        "frame": [("return", None)],
        "vla": [("return", None)],
        "realigned": [("return", None)],
        "copied": [("return", None)],
        "tail": [("tail", "target+0x0")],
        "tail_behind_pad": [("tail", "target+0x4")],
        "tail_if": [("tail-conditional", "target+0x0"), ("return", None)],
        "tail_pointer": [("tail-indirect", "rax")],
        "tail_memory": [("tail-indirect", None)],
        "table_framed": [("return", None), ("tail", "target+0x0")],
        "table_leaf": [("return", None), ("return", None)],
        "table_array": [("return", None), ("return", None)],
        "pops_arguments": [("return", None)],
        "repeated": [("return", None)],
        "again": [],
        "counts": [("return", None)],
        "over_prefix": [("return", None)],
        "forever": [],
        "dies": [],
        "dies_inside": [("return", None), ("return", None)],
        "goes_out": [("tail-conditional", "nobody"), ("tail", "nobody")],
    },
}
TEXTS = {A64: A64_TEXT, X86: X86_TEXT}


@pytest.mark.parametrize(("arch", "name"), [(arch, name) for arch in EXPECTED for name in EXPECTED[arch]])
def test_exits_are_what_they_are(arch: str, name: str) -> None:
    image, found = look(arch, TEXTS[arch])
    nobody = hex(image.symbols["nobody"])
    said = [(kind, "nobody" if what == nobody else what) for _, kind, what in exits(image, body_of(image, found, name))]
    assert said == EXPECTED[arch][name]


@pytest.mark.parametrize("arch", [A64, X86])
def test_jump_tables_are_listed(arch: str) -> None:
    image, found = look(arch, TEXTS[arch])
    for name in ("table_framed", "table_leaf"):
        assert len(body_of(image, found, name).tables) == 1
    assert body_of(image, found, "tail_pointer").tables == ()


@pytest.mark.parametrize("arch", [A64, X86])
def test_a_branch_back_to_the_entry_does_not_push_again(arch: str) -> None:
    image, found = look(arch, TEXTS[arch])
    body = body_of(image, found, "again")
    assert body.entry == body.function.start + 4, "the push belongs behind the landing pad"
    assert len(body.to_entry) == 2
    assert body_of(image, found, "forever").to_entry == (image.symbols["forever"],)


def test_an_authenticating_return_says_so() -> None:
    image, found = look(A64, A64_TEXT)
    assert [e.authenticates for e in body_of(image, found, "signed").exits] == [True]
    assert [e.authenticates for e in body_of(image, found, "frame").exits] == [False]
    assert body_of(image, found, "signed").entry == image.symbols["signed"], "paciasp is not skipped"


def test_what_an_exit_reads_is_kept() -> None:
    image, found = look(A64, A64_TEXT)
    assert [e.keeps for e in body_of(image, found, "tail_if").exits] == [("x0",), ("flags",), ()]
    assert body_of(image, found, "tail_pointer").exits[0].keeps == ("x16",)


def test_a_branch_over_a_lock_prefix_is_told() -> None:
    image, found = look(X86, X86_TEXT)
    body = body_of(image, found, "over_prefix")
    assert body.over_prefix == (body.function.start + 2,)
    assert body_of(image, found, "frame").over_prefix == ()


@pytest.mark.parametrize("arch", [A64, X86])
def test_calls_and_spills(arch: str) -> None:
    image, found = look(arch, TEXTS[arch])
    assert body_of(image, found, "frame").calls
    assert body_of(image, found, "frame").spills
    assert not body_of(image, found, "leaf").calls
    assert not body_of(image, found, "leaf").spills


def test_storing_the_link_register_spills_it_without_a_call() -> None:
    image, found = look(A64, A64_TEXT)
    assert not body_of(image, found, "tail_loaded").calls
    assert body_of(image, found, "tail_loaded").spills


@pytest.mark.parametrize("arch", [A64, X86])
def test_instructions_are_decoded_on_demand(arch: str) -> None:
    image, found = look(arch, TEXTS[arch])
    code = body_of(image, found, "frame").insns
    assert code.function.name == "frame"
    assert len(code.calls) == 1


@pytest.mark.parametrize("arch", [A64, X86])
def test_everything_is_counted_once(arch: str) -> None:
    image, found = look(arch, TEXTS[arch])
    assert set(found.bodies) | set(found.left_out) == {f.start for f in image.functions}
    assert not set(found.bodies) & set(found.left_out)
    assert 0 < found.understood < found.decoded
    assert found.seconds > 0
