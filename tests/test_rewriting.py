"""rewrite_file: verified output with its map, or one line and no output at all."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from lab import rewriting
from lab.balance import Balance, check_balance, check_balance_plainly
from lab.errors import InputError, RefusedError
from lab.images.image import Image, load_image
from lab.layout import Flavour, LayoutRow, Policy, RewriteMap, ShadowLayout, Where, map_path
from lab.machine.machine import Limits
from lab.rewriting import dynamic_checks, find_map, load_map, rewrite_file
from tests.support import compile_c

PROGRAM = """
__attribute__((noinline)) long leaf(long x) { return x * 3 + 1; }
__attribute__((noinline)) long twice(long x) { return leaf(x) + leaf(x + 1); }
int test_main(void) { return twice(1) != 11; }
"""
PAC = ("-mbranch-protection=pac-ret", "-ffixed-x18")
XRAY = ("-fxray-instrument", "-fxray-instruction-threshold=1")


def pac_image() -> Path:
    return compile_c("aarch64", PROGRAM, *PAC).path


def nothing_left(folder: Path) -> bool:
    return not list(folder.iterdir())


def test_output_and_map_appear_together_and_belong_together(tmp_path: Path) -> None:
    out = tmp_path / "out.elf"
    made = rewrite_file(pac_image(), out, "pac", Flavour.REGISTER, Policy.USE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.elf", "out.elf.rewrite.json"]
    assert os.access(out, os.X_OK)
    image = load_image(out)
    assert load_map(out) == find_map(image) == made
    assert made.output_sha256 == image.sha256
    assert made.checks["same_result"] == made.checks["shadow_balance"] == "passed"
    assert RewriteMap.from_json(made.to_json(), "here") == made


@pytest.mark.parametrize("damage", ["{", "{}", '{"schema": 99}', '{"schema": 1}', '{"schema": 1, "layout": 3}', "[]"])
def test_a_damaged_map_is_one_line(damage: str, tmp_path: Path) -> None:
    out = tmp_path / "out.elf"
    rewrite_file(pac_image(), out, "pac", Flavour.REGISTER, Policy.USE)
    map_path(out).write_text(damage)
    with pytest.raises(InputError, match=r"out\.elf\.rewrite\.json") as caught:
        load_map(out)
    assert "\n" not in str(caught.value)


def test_a_map_of_another_image_is_refused(tmp_path: Path) -> None:
    out, other = tmp_path / "out.elf", tmp_path / "other.elf"
    rewrite_file(pac_image(), out, "pac", Flavour.REGISTER, Policy.USE)
    rewrite_file(pac_image(), other, "pac", Flavour.MEMORY, Policy.CHECK)
    map_path(out).write_text(map_path(other).read_text())
    with pytest.raises(InputError, match="describes another image"):
        find_map(load_image(out))


def test_no_map_means_no_shadow_stack(tmp_path: Path) -> None:
    assert find_map(load_image(pac_image())) is None
    with pytest.raises(InputError, match="no rewrite map"):
        load_map(pac_image())


def test_a_second_rewrite_is_refused(tmp_path: Path) -> None:
    first = tmp_path / "first.elf"
    rewrite_file(pac_image(), first, "pac", Flavour.MEMORY, Policy.USE)
    again = tmp_path / "sub"
    again.mkdir()
    with pytest.raises(InputError, match="already rewritten"):
        rewrite_file(first, again / "x.elf", "pac", Flavour.MEMORY, Policy.USE)
    assert nothing_left(again)


@pytest.mark.parametrize(
    ("source", "mode", "words"),
    [
        (compile_c("aarch64", PROGRAM).path, "pac", "paciasp"),
        (compile_c("aarch64", PROGRAM).path, "xray", "xray"),
        (compile_c("x86_64", PROGRAM, *XRAY).path, "pac", "x86"),
        (compile_c("x86_64", PROGRAM, *XRAY).path, "xray", "register"),
    ],
    ids=["no pac sites", "no sleds", "pac on x86-64", "x18 on x86-64"],
)
def test_what_an_image_lacks_is_named_and_nothing_is_written(
    source: Path, mode: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"(?i){words}") as caught:
        rewrite_file(source, tmp_path / "out.elf", mode, Flavour.REGISTER, Policy.USE)
    assert "\n" not in str(caught.value)
    assert nothing_left(tmp_path)


def test_the_output_may_not_be_the_input_a_folder_or_nowhere(tmp_path: Path) -> None:
    source = tmp_path / "in.elf"
    source.write_bytes(pac_image().read_bytes())
    for out, words in ((source, "is the input"), (tmp_path, "is a folder"), (tmp_path / "no" / "x", "no such folder")):
        with pytest.raises(InputError, match=words):
            rewrite_file(source, out, "pac", Flavour.REGISTER, Policy.USE)
    assert [p.name for p in tmp_path.iterdir()] == ["in.elf"]


def test_an_image_that_does_not_end_leaves_the_question_open(tmp_path: Path) -> None:
    """Equality of results cannot be shown there: the check says undetermined, never passed."""
    source = PROGRAM.replace("return twice(1) != 11;", "for (;;) twice(1);")
    image = compile_c("aarch64", source, *PAC)
    made = rewrite_file(image.path, tmp_path / "x", "pac", Flavour.REGISTER, Policy.USE, limits=Limits(5000, 20))
    assert made.checks["same_result"].startswith("undetermined")


def balance(image: Image, rewrite: RewriteMap) -> Balance:
    """What both implementations of the check say of an execution."""
    compiled, plain = (check(image, rewrite, Limits()) for check in (check_balance, check_balance_plainly))
    assert (compiled.problem, compiled.problem and plain.checked) == (plain.problem, plain.problem and plain.checked)
    assert compiled.checked == plain.checked or compiled.problem
    return compiled


def _tampered(rewrite: RewriteMap, **changes: object) -> RewriteMap:
    layout = ShadowLayout(**({f: getattr(rewrite.layout, f) for f in rewrite.layout.__dataclass_fields__} | changes))
    return RewriteMap(**({f: getattr(rewrite, f) for f in rewrite.__dataclass_fields__} | {"layout": layout}))


def test_a_layout_that_claims_a_push_too_early_fails_the_balance_check(tmp_path: Path) -> None:
    out = tmp_path / "out.elf"
    made = rewrite_file(pac_image(), out, "pac", Flavour.REGISTER, Policy.USE)
    image = load_image(out)
    lying = tuple(LayoutRow(r.start, r.end, Where.SHADOW) if r.where is Where.LR else r for r in made.layout.rows)
    assert "shadow top is" in balance(image, _tampered(made, rows=lying)).problem
    good = balance(image, made)
    assert not good.problem and good.checked > 0


@pytest.mark.parametrize(
    ("true", "said", "words"),
    [
        (Where.SHADOW, Where.LR, "link register is"),
        (Where.LR, Where.OUTERMOST, "whether anybody"),
        (Where.OUTERMOST, Where.LR, "whether anybody"),
        (Where.LR, Where.STACK, r"\[SP \+ 8\] is"),
    ],
)
def test_a_wrong_row_of_any_kind_fails_the_balance_check(true: Where, said: Where, words: str, tmp_path: Path) -> None:
    """Otherwise an unwinder that trusts the layout would be blamed for it."""
    out = tmp_path / "out.elf"
    made = rewrite_file(pac_image(), out, "pac", Flavour.REGISTER, Policy.USE)
    offset = 8 if said is Where.STACK else 0
    lying = tuple(LayoutRow(r.start, r.end, said, offset) if r.where is true else r for r in made.layout.rows)
    problem = balance(load_image(out), _tampered(made, rows=lying)).problem
    assert re.search(words, problem), problem


def test_a_run_of_no_instrumented_function_proves_no_balance(tmp_path: Path) -> None:
    source = PROGRAM.replace("return twice(1) != 11;", "return 0;")
    made = rewrite_file(compile_c("aarch64", source, *PAC).path, tmp_path / "x", "pac", Flavour.REGISTER, Policy.USE)
    assert made.checks["shadow_balance_stops"] == 0
    assert made.checks["shadow_balance"].startswith("undetermined")


@pytest.mark.parametrize("victim", ["push", "pop"])
def test_a_dropped_push_or_pop_is_caught_by_execution(victim: str, tmp_path: Path) -> None:
    """Planted fault: one sequence word of the output becomes a NOP; the dynamic checks must object."""
    out = tmp_path / "out.elf"
    made = rewrite_file(pac_image(), out, "pac", Flavour.REGISTER, Policy.USE)
    word = {"push": 0xF800865E, "pop": 0xF85F8E5E}[victim].to_bytes(4, "little")
    data = out.read_bytes()
    at = data.index(word)
    broken = tmp_path / "broken.elf"
    broken.write_bytes(data[:at] + (0xD503201F).to_bytes(4, "little") + data[at + 4 :])
    with pytest.raises(RefusedError, match="not written"):
        dynamic_checks(load_image(pac_image()), load_image(broken), made, Limits())


def test_a_failing_check_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> dict[str, object]:
        raise RefusedError("planted")

    monkeypatch.setattr(rewriting, "dynamic_checks", fails)
    with pytest.raises(RefusedError, match="planted"):
        rewrite_file(pac_image(), tmp_path / "out.elf", "pac", Flavour.REGISTER, Policy.USE)
    assert nothing_left(tmp_path)


def test_the_map_is_plain_json_with_a_schema(tmp_path: Path) -> None:
    out = tmp_path / "out.elf"
    rewrite_file(pac_image(), out, "pac", Flavour.PARALLEL, Policy.CHECK)
    raw = json.loads(map_path(out).read_text())
    assert raw["schema"] == 1
    assert raw["layout"]["flavour"] == "parallel"
    assert all(site["reason"] for site in raw["census"]["left_out"])


def test_the_files_are_for_whom_the_umask_says(tmp_path: Path) -> None:
    out = tmp_path / "out.elf"
    old = os.umask(0o027)
    try:
        rewrite_file(pac_image(), out, "pac", Flavour.REGISTER, Policy.USE)
    finally:
        os.umask(old)
    assert [path.stat().st_mode & 0o777 for path in (out, map_path(out))] == [0o750, 0o640]
