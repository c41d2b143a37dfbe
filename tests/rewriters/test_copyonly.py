"""A rewrite that only copies: every mode's own doing, and nothing else, leaves a program as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import rewriters.rewriting
from lab import copying
from lab.copying import copy_check
from lab.errors import RefusedError
from lab.images.image import Image, parse_image
from lab.layout import Leaves, Policy, Region
from lab.machine.machine import Limits
from lab.rewriting import rewrite_file
from rewriters import all_flavours, flavour_by_name, rewrite
from rewriters.copyonly import COPY_ONLY
from tests.rewriters import machine
from tests.rewriters.verify.planting import CODE
from tests.support import compile_c

CASES = [
    ("aarch64", "pac"),
    *((arch, mode) for arch in ("aarch64", "x86_64") for mode in ("xray", "detour", "insertion")),
]
PROGRAM = """
__attribute__((noinline)) long leaf(long x) { return x * 3 + 1; }
__attribute__((noinline)) long twice(long x) { volatile long y = leaf(x); return y + leaf(x + 1); }
int test_main(void) { return twice(1) != 11; }
"""


@pytest.mark.parametrize(("arch", "mode"), CASES)
def test_the_main_guest_runs_as_before(guest: Callable[..., Image], arch: str, mode: str) -> None:
    old = guest(arch, CODE[mode])
    done = rewrite(old, mode, COPY_ONLY.name, Policy.RECORD)
    new = parse_image(done.data, old.path)
    plain, copied = machine.run(old), machine.run(new)
    assert copied.result == plain.result is not None
    assert new.entry == old.entry, "no stub"
    assert done.map.census.instrumented > 5
    assert all(result["ok"] for result in done.map.checks.values())
    if mode == "insertion":
        assert any(piece.region is Region.MOVED for piece in done.map.inserted)


def test_nobody_is_offered_it() -> None:
    assert COPY_ONLY.name not in {spec.name for spec in all_flavours()}
    assert flavour_by_name("copy-only") is COPY_ONLY


def test_a_users_rewrite_reports_it(tmp_path: Path) -> None:
    image = compile_c("x86_64", PROGRAM)
    made = rewrite_file(image.path, tmp_path / "out.elf", "insertion", "memory", Policy.CHECK)
    assert made.checks["copy_only"] == "passed"


def test_a_mode_that_breaks_the_program_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    image = compile_c("aarch64", PROGRAM)
    whole = rewriters.rewriting.rewrite

    def breaking(*asked: object) -> object:
        """``leaf`` multiplies by five."""
        done = whole(*asked)  # type: ignore[arg-type]
        code = image.read(image.symbols["leaf"], 4)
        assert done.data.count(code) >= 1
        return replace(
            done, data=done.data.replace(code, (int.from_bytes(code, "little") ^ 1 << 10).to_bytes(4, "little"))
        )

    monkeypatch.setattr(copying.rewriters, "rewrite", breaking)
    with pytest.raises(RefusedError, match="copied by 'detour' alone, its result is exit 1"):
        copy_check(image, "detour", Leaves.ALL, Limits())


def test_what_cannot_be_said_is_undetermined() -> None:
    endless = compile_c("aarch64", PROGRAM.replace("return twice(1) != 11;", "for (;;) twice(1);"))
    assert copy_check(endless, "detour", Leaves.ALL, Limits(5000, 20)).startswith("undetermined: the original did not")
    bare = compile_c("aarch64", PROGRAM)
    assert copy_check(bare, "pac", Leaves.ALL, Limits()).startswith("undetermined: no paciasp or autiasp to fill")
