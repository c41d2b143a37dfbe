"""A shadow-stack flavour is one added file: dropped in, it is found, assembled, verified and runs."""

from __future__ import annotations

from pathlib import Path

import pytest

import rewriters.flavours
from lab.errors import InputError
from lab.images.image import load_image
from lab.layout import Flavour, Policy
from lab.registry import unwinder
from lab.rewriting import rewrite_file
from lab.unwind.api import BOUNDARY
from rewriters import all_flavours, flavour_by_name
from tests.support import compile_c, execute, verdicts

ADDED = '''
"""parallel-cleared: a parallel shadow stack whose record pop clears the entry, so that nothing stale is left."""

from lab.layout import Flavour, Policy
from rewriters.flavours.api import FlavourSpec

_SLOT = "sub {s0}, sp, #0xc00, lsl #12; "

FLAVOUR = FlavourSpec(
    name="parallel-cleared",
    title="parallel, cleared by the pop",
    reach=Flavour.PARALLEL,
    push={"aarch64": _SLOT + "str x30, [{s0}] !"},
    pop={"aarch64": {Policy.RECORD: _SLOT + "str xzr, [{s0}] !"}},
)
'''
PROGRAM = """
__attribute__((noinline)) long leaf(long x) { return x * 3 + 1; }
__attribute__((noinline)) long twice(long x) { volatile long y = leaf(x); return y + leaf(x + 1); }
__attribute__((noinline)) long deep(long n) { return n ? deep(n - 1) + twice(n) : 0; }
int test_main(void) { return deep(4) + deep(2) == 0; }
"""


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "flavours"
    folder.mkdir()
    (folder / "parallel_cleared.py").write_text(ADDED)
    monkeypatch.setattr(rewriters.flavours, "__path__", [*rewriters.flavours.__path__, str(folder)])
    all_flavours.cache_clear()
    yield "parallel-cleared"
    all_flavours.cache_clear()


def test_the_built_in_flavours_come_first_in_their_fixed_order(added: str) -> None:
    assert [spec.name for spec in all_flavours()] == ["register", "parallel", "memory", added]


def test_an_added_file_is_a_working_flavour(added: str, tmp_path: Path) -> None:
    """It does what its author wanted: the entry is gone after the return, so a reader finds nothing stale."""
    source = compile_c("aarch64", PROGRAM, "-mbranch-protection=pac-ret", "-ffixed-x18").path
    shares = {}
    for name in ("parallel", added):
        out = tmp_path / f"{name}.elf"
        made = rewrite_file(source, out, "pac", name, Policy.RECORD)
        assert (made.layout.name, made.layout.flavour) == (name, Flavour.PARALLEL)
        execution = execute(load_image(out), unwinder("scs-lr"), rewrite=made)
        shares[name] = verdicts(execution, BOUNDARY)
    assert "extra" in shares["parallel"]
    assert set(shares[added]) == {"exact"}


def test_what_an_added_flavour_does_not_describe_is_refused(added: str, tmp_path: Path) -> None:
    source = compile_c("x86_64", PROGRAM, "-fxray-instrument", "-fxray-instruction-threshold=1").path
    with pytest.raises(InputError, match="no sequences for x86-64"):
        rewrite_file(source, tmp_path / "out", "xray", added, Policy.RECORD)
    source = compile_c("aarch64", PROGRAM, "-mbranch-protection=pac-ret", "-ffixed-x18").path
    with pytest.raises(InputError, match="no 'use' sequence"):
        rewrite_file(source, tmp_path / "out", "pac", added, Policy.USE)


def test_an_unknown_flavour_is_one_line_with_a_suggestion() -> None:
    with pytest.raises(InputError, match="did you mean 'register'"):
        flavour_by_name("registre")
