"""Every failure mode of the field table has a workload whose failure is asserted, and docs/failures.md says which."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab import registry
from lab.arch import AARCH64
from lab.errors import InputError
from lab.images.build import build
from lab.images.image import load_image
from lab.images.workloads import Workload, all_workloads, workload_by_name
from rewriters import ehframe

PAGE = (Path(__file__).parent.parent.parent / "docs/failures.md").read_text(encoding="utf-8")
BOTH = frozenset({"aarch64", "x86_64"})
ROWS = {
    **dict.fromkeys((6, 12, 13, 14, 15, 16, 17, 18, 19, 20, 37, 40, 41, 42, 43, 44, 45), BOTH),
    **dict.fromkeys((33, 34, 36, 38, 39), frozenset({"aarch64"})),
    35: frozenset({"x86_64"}),
}
"""Row of the field table -> the architectures its mechanism exists on.  Row 21 is about sampling."""
REFUSALS = frozenset({36})
"""Rows whose failure is that a caller that is there is not found."""


def listed() -> list[tuple[int, str, dict[str, list[str]]]]:
    """The table's lines: (row, workload, kind -> claims)."""
    found = []
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 5 and cells[0].isdigit():
            claims = {
                kind: re.findall(r"`([^`]*)`", cell)
                for kind, cell in zip(("fails", "refuses", "survives"), cells[2:], strict=True)
            }
            found.append((int(cells[0]), cells[1], claims))
    return found


def texts(workload: Workload, kind: str, arch: str = "") -> set[str]:
    """The claims of one kind (about one architecture), as the page has them."""
    return {
        claim.text(workload.arches).removeprefix(f"{kind}: ")
        for claim in workload.claims
        if claim.kind == kind and (not arch or arch in claim.arches)
    }


def test_the_page_says_nothing_that_the_headers_do_not_say() -> None:
    assert len(listed()) > 30
    for row, name, claims in listed():
        workload = workload_by_name(name)
        assert row in workload.rows, name
        for kind, said in claims.items():
            assert set(said) <= texts(workload, kind), (row, name)


def test_the_page_has_every_workload_that_shows_a_failure() -> None:
    shown = {w.name for w in all_workloads() if any(claim.kind == "fails" for claim in w.claims)}
    here = {name for _, name, _ in listed()}
    assert shown <= here


def test_the_page_lists_whatever_says_too_much() -> None:
    """Under the rows' table: one line a workload."""
    lines = re.findall(r"^- (\w+) adds: (.*)$", PAGE, re.M)
    assert {name: set(re.findall(r"`([^`]*)`", said)) for name, said in lines} == {
        workload.name: found for workload in all_workloads() if (found := texts(workload, "adds"))
    }


@pytest.mark.parametrize(("row", "arch"), [(row, arch) for row, arches in ROWS.items() for arch in sorted(arches)])
def test_every_row_has_a_failure_that_is_asserted_and_a_design_that_stands(row: int, arch: str) -> None:
    kind = "refuses" if row in REFUSALS else "fails"
    lines = [(workload_by_name(name), claims) for at, name, claims in listed() if at == row]
    assert any(set(claims[kind]) & texts(workload, kind, arch) for workload, claims in lines)
    assert any(set(claims["survives"]) & texts(workload, "survives", arch) for workload, claims in lines)


def test_before_advance_loc4_was_read_a_large_function_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 33: the kernel's patcher as it was before commit d499e9627d70, and as it is."""

    def changes(workload: str) -> int:
        flags = registry.proposal("pac").compiler_flags("aarch64")
        section = load_image(build(workload_by_name(workload), AARCH64, flags)).section(".eh_frame")
        assert section is not None
        return len(list(ehframe.signing_changes(section.data, section.address, workload)))

    assert changes("largefn") > 0
    without = {opcode: size for opcode, size in ehframe._ADVANCE_SIZES.items() if opcode != 0x04}
    monkeypatch.setattr(ehframe, "_ADVANCE_SIZES", without)
    assert changes("deep") > 0
    with pytest.raises(InputError, match=r"opcode 0x0?4"):
        changes("largefn")


def test_the_variants_of_the_page_are_those_there_are() -> None:
    rows = {
        name: (arm, x86) for name, arm, x86 in re.findall(r"^\| (base-\S+) \| `.*` \| (.*) \| (.*) \|$", PAGE, re.M)
    }
    assert set(rows) == set(registry.names().variants)
    for name, (arm, x86) in rows.items():
        found = registry.proposal(name)
        assert [arm, x86] == [found.unsupported(arch) or "yes" for arch in ("aarch64", "x86_64")]
