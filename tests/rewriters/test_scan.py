"""Row 48: how well scanning for a known number of NOPs finds the sleds, and what it takes for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.images.image import Image, load_image
from lab.layout import Flavour, Policy
from rewriters import rewrite
from tests.rewriters.guests import Source, build_plain, c_flags

SIMPLE = "__attribute__((noinline)) long g(long a) { return a + 1; }\nlong compute(void) { return g(1) + g(2); }\n"


def _scan(image: Image) -> dict[str, dict[str, object]]:
    scan: dict[str, dict[str, object]] = rewrite(image, "xray", Flavour.PARALLEL, Policy.RECORD).map.census.scan
    return scan


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_the_sled_with_its_jump_is_found_exactly(guest: Callable[..., Image], arch: str) -> None:
    known = next(iter(_scan(guest(arch, "xray")).values()))
    assert known["precision"] == known["recall"] == 1.0
    assert known["found"] == known["recorded"]


def test_x86_padding_looks_like_a_sled_to_the_crude_search(guest: Callable[..., Image]) -> None:
    crude = _scan(guest("x86_64", "xray"))["any 9/10-byte nop"]
    assert crude["recall"] == 1.0
    assert crude["precision"] < 1.0  # type: ignore[operator]
    assert any("padding" in kind for kind in crude["confused_with"])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("entry", "confusion"),
    [
        (".rept 7\n nop\n .endr\n", "alignment padding in a function"),
        ("hint #34\n .rept 6\n nop\n .endr\n", "BTI hint"),
    ],
)
def test_a64_lookalikes(tmp_path: Path, entry: str, confusion: str) -> None:
    text = f".text\n.globl fake\n.type fake,%function\nfake: mov x1, x2\n {entry} ret\n.size fake,.-fake\n"
    sources = [Source("a.c", SIMPLE, c_flags("aarch64", "xray")), Source("fake.s", text)]
    scan = _scan(load_image(build_plain(tmp_path, "aarch64", sources)))
    assert scan["7 nops"]["confused_with"] == {confusion: 1}
    assert scan["b #32 and 7 nops"]["precision"] == 1.0


def test_patchable_entry_nops_are_told_apart(tmp_path: Path) -> None:
    other = "long h(long);\nlong patch(long a) { return h(a) + 1; }\nlong h(long a) { return a; }\n"
    flags = c_flags("aarch64", "none")
    sources = [
        Source("a.c", SIMPLE, c_flags("aarch64", "xray")),
        Source("b.c", other, (*flags, "-fpatchable-function-entry=7")),
    ]
    scan = _scan(load_image(build_plain(tmp_path, "aarch64", sources)))
    assert scan["7 nops"]["confused_with"] == {"patchable-entry NOPs": 2}


def test_pac_agreement_is_in_the_census(guest: Callable[..., Image]) -> None:
    image = guest("aarch64", "pac")
    scan = rewrite(image, "pac", Flavour.MEMORY, Policy.USE).map.census.scan
    assert scan["eh_frame"] == scan["scan"] == scan["agree"] > 20
    assert scan["only_eh_frame"] == scan["only_scan"] == []


def test_position_independent_image(tmp_path: Path) -> None:
    for arch, mode in (("aarch64", "pac"), ("x86_64", "xray")):
        flags = (*c_flags(arch, mode), "-fPIE")
        sources = [Source("a.c", SIMPLE + "volatile long datum = 4;\n", flags)]
        image = load_image(build_plain(tmp_path / arch, arch, sources, ("--build-id", "-pie", "--no-dynamic-linker")))
        assert image.position_independent
        done = rewrite(image, mode, Flavour.MEMORY, Policy.CHECK)
        assert done.map.layout.provider == "image"
        assert all(check["ok"] for check in done.map.checks.values())
