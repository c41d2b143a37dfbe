"""The hook's text is kept from process to process, and never a wrong one."""

from __future__ import annotations

import ast
import copy
import os
from pathlib import Path

import pytest

import lab
from lab.engine.native.generate import hook_module
from lab.engine.native.texts import KEPT, kept_text
from lab.lowering.copying import copied


class Maker:
    """Gives ``text`` and counts how often it was asked."""

    def __init__(self, text: str) -> None:
        self.text, self.asked = text, 0

    def __call__(self) -> str:
        self.asked += 1
        return self.text


def test_a_text_is_made_once(tmp_path: Path) -> None:
    make = Maker("one\n\ntwo")
    assert [kept_text(tmp_path, "hook", make) for _ in range(3)] == ["one\n\ntwo"] * 3
    assert make.asked == 1
    assert kept_text(tmp_path, "other", make) == "one\n\ntwo"
    assert make.asked == 2


@pytest.mark.parametrize("damage", [b"", b"one", b"\xff\n", b"0" * 64 + b"\nanother text"])
def test_a_damaged_text_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    make = Maker("one")
    kept_text(tmp_path, "hook", make)
    (file,) = tmp_path.iterdir()
    right = file.read_bytes()
    file.write_bytes(damage)
    assert kept_text(tmp_path, "hook", make) == "one"
    assert (make.asked, file.read_bytes()) == (2, right)


def test_another_source_is_another_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "lab"
    (root / "engine").mkdir(parents=True)
    (root / "engine" / "part.py").write_text("a = 1\n")
    monkeypatch.setattr(lab, "__file__", str(root / "__init__.py"))
    assert kept_text(tmp_path / "kept", "hook", Maker("one")) == "one"
    (root / "engine" / "part.py").write_text("a = 2\n")
    assert kept_text(tmp_path / "kept", "hook", Maker("two")) == "two"
    (root / "engine" / "part.py").rename(root / "part.py")
    assert kept_text(tmp_path / "kept", "hook", Maker("three")) == "three"


def test_where_nothing_can_be_kept_it_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert kept_text(tmp_path / "file" / "below", "hook", Maker("one")) == "one"


def test_old_ones_go(tmp_path: Path) -> None:
    for index in range(KEPT + 5):
        old = tmp_path / f"hook-{index}.text"
        old.write_text("")
        os.utime(old, (index, index))
    kept_text(tmp_path, "hook", Maker("one"))
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == KEPT
    assert not set(left) & {f"hook-{index}.text" for index in range(6)}


def test_a_copy_of_a_tree_is_equal_and_apart() -> None:
    tree = ast.parse(hook_module())
    same = copied(tree)
    assert ast.dump(same, include_attributes=True) == ast.dump(copy.deepcopy(tree), include_attributes=True)
    nodes = {id(n) for n in ast.walk(tree) if not isinstance(n, ast.expr_context | ast.operator)}
    assert not nodes & {id(n) for n in ast.walk(same)}
