"""Compiled modules: never a stale or damaged one, never more than KEPT, and two processes do not meet."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.engine.native import compiling
from lab.engine.native.compiling import compiled, digest
from lab.engine.native.core import walk
from lab.engine.native.core.hook import hook
from lab.engine.native.generate import evaluator_module, hook_module
from lab.errors import InputError
from lab.registry import load_unwinder, unwinder
from lab.unwind.api import Unwinder

ADD = """import numpy as np
from numba import cfunc, types

@cfunc(types.uint64(types.uint64), cache=True)
def entry(x):
    return x + np.uint64({number})
"""
SCRIPT = """
import ctypes, sys
from lab.engine.native.compiling import compiled
found = compiled(sys.argv[1])
print(found.cached, ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64)(found.address)(1))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache; what this process has compiled is forgotten before and after."""
    monkeypatch.setenv("UNWINDLAB_CACHE", str(tmp_path / "cache"))
    compiled.cache_clear()
    yield tmp_path / "cache" / "native"
    compiled.cache_clear()


def started(text: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def fresh(text: str) -> str:
    """What a process of its own gets: whether from the cache, and 1 + the module's number."""
    process = started(text)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.strip()


def files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and "lock" not in p.name)


def test_a_second_process_finds_it(folder: Path) -> None:
    text = ADD.format(number=41)
    assert [fresh(text), fresh(text)] == ["False 42", "True 42"]
    assert fresh(ADD.format(number=1)) == "False 2"


def test_no_setting_of_numba_moves_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(elsewhere))
    text = ADD.format(number=41)
    assert [fresh(text), fresh(text)] == ["False 42", "True 42"]
    assert {".nbi", ".nbc"} <= {file.suffix for file in files(folder / digest(text))}
    assert list(elsewhere.iterdir()) == []


def damage(file: Path, how: str) -> None:
    data = bytearray(file.read_bytes())
    if how == "cut":
        del data[len(data) // 2 :]
    elif how == "emptied":
        data.clear()
    else:
        data[2 * len(data) // 3] ^= 0x41
    file.write_bytes(data)


@pytest.mark.parametrize("how", ["cut", "emptied", "changed"])
def test_whatever_is_damaged_is_made_anew(folder: Path, how: str) -> None:
    text = ADD.format(number=41)
    kinds = set()
    assert fresh(text) == "False 42"
    for file in files(folder):
        damage(file, how)
        kinds.add(file.suffix)
        compiled.cache_clear()
        found = compiled(text)
        assert ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64)(found.address)(1) == 42
        assert fresh(text) == "True 42"
    assert {".py", ".nbi", ".nbc", ""} <= kinds


def test_two_processes_at_once(folder: Path) -> None:
    text = ADD.format(number=41)
    both = [started(text), started(text)]
    said = sorted(process.communicate(timeout=120)[0].strip() for process in both)
    assert said == ["False 42", "True 42"]


def test_no_more_than_so_many_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ones used longest ago go; the one in use stays, however old it looks."""
    monkeypatch.setattr(compiling, "KEPT", 3)
    old = [folder / f"{index:032x}" for index in range(6)]
    for age, path_ in enumerate(old):
        path_.mkdir(parents=True)
        os.utime(path_, (1_000 + age, 1_000 + age))
    text = ADD.format(number=41)
    compiled(text)
    kept = {p.name for p in folder.iterdir() if p.is_dir()}
    assert kept == {digest(text), old[4].name, old[5].name}
    (folder / "another").mkdir()
    os.utime(folder / digest(text), (1, 1))
    compiling._prune(folder, folder / digest(text))
    assert {p.name for p in folder.iterdir() if p.is_dir()} == {*kept, "another"}
    compiling._prune(folder, folder / "another")
    assert digest(text) not in {p.name for p in folder.iterdir()}


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNWINDLAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        InputError, match=r"cannot keep compiled code there: .*; set \$UNWINDLAB_CACHE to a folder"
    ) as raised:
        compiled(ADD.format(number=5))
    assert "\n" not in str(raised.value)


PLUGIN = """from lab.unwind.api import *
from lab.unwind.api import Unwinder
from {module} import helper

def start(mode, pc, regs):
    return (regs.fp,)

def step(mem, cursor):
    return END, helper(cursor[0]), cursor

UNWINDER = Unwinder("made", "made", "", start, step)
"""


def plugin(folder: Path, name: str, result: str) -> Unwinder:
    """A plug-in whose helper stands in another file."""
    folder.mkdir()
    (folder / f"{name}.py").write_text(f"def helper(x):\n    return {result}\n")
    (folder / "plugin.py").write_text(PLUGIN.format(module=name))
    sys.path.insert(0, str(folder))
    try:
        return load_unwinder(folder / "plugin.py")
    finally:
        sys.path.remove(str(folder))


def test_every_source_takes_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another helper in another file, another core function, another unwinder: another name for the module."""
    one, same = plugin(tmp_path / "1", "helper_one", "x + 1"), plugin(tmp_path / "2", "helper_two", "x + 1")
    other = plugin(tmp_path / "3", "helper_three", "x + 2")
    texts = [evaluator_module(u) for u in (one, same, other, unwinder("fp"))]
    assert texts[0] == texts[1]
    assert len({digest(text) for text in texts}) == 3
    before = [hook_module(), evaluator_module(one)]

    def clamp(s, p) -> int:
        return 1

    def after_call(s) -> int:
        return 1

    with monkeypatch.context() as patch:
        patch.setattr(walk, "clamp", clamp)
        patch.setitem(hook.__globals__, "after_call", after_call)
        changed = [hook_module(), evaluator_module(one)]
    assert not {digest(text) for text in before} & {digest(text) for text in changed}
    assert [hook_module(), evaluator_module(one)] == before


def test_the_compiler_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    name = digest("x")
    for module, attribute in ((compiling.numba, "__version__"), (compiling.llvmlite, "__version__"), (sys, "version")):
        with monkeypatch.context() as patch:
            patch.setattr(module, attribute, "0.0")
            assert digest("x") != name
    assert digest("x") == name
    assert digest("y") != name


def test_a_changed_plugin_is_another_one(tmp_path: Path) -> None:
    """The same file, changed and loaded again in this process."""
    file = tmp_path / "again.py"
    found = []
    for status in ("END", "Reason.LR_DEAD"):
        file.write_text(
            "from lab.unwind.api import *\nfrom lab.unwind.api import Reason, Unwinder\n"
            "def start(mode, pc, regs):\n    return (regs.fp,)\n"
            f"def step(mem, cursor):\n    return {status}, 0, cursor\n"
            "UNWINDER = Unwinder('again', 'again', '', start, step)\n"
        )
        os.utime(file, (1_000 + len(found), 1_000))
        found.append(digest(evaluator_module(load_unwinder(file))))
    assert found[0] != found[1]
