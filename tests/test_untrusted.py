"""A user's file never takes a command down: what crashes on it is one line, and no file stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import rewriters
from lab import explain, rewriting, untrusted
from lab.cli import cli
from lab.errors import InputError
from lab.images.image import load_image
from lab.layout import Policy
from lab.rewriting import rewrite_file
from lab.untrusted import PARSER, apart, load_untrusted
from tests.test_interrupts import PATIENCE, children, gone, until
from tests.test_rewriting import nothing_left, pac_image


def crashes(*_: object, **__: object) -> object:
    os.kill(os.getpid(), signal.SIGSEGV)
    return None


def hangs(*_: object, **__: object) -> object:
    time.sleep(10 * PATIENCE)
    return None


STAGES = [
    (untrusted, "load_image", "the ELF parser"),
    (rewriters, "rewrite", "the rewriter"),
    (rewriting, "_proved", "the emulator"),
]


@pytest.mark.parametrize(("module", "name", "title"), STAGES)
def test_whatever_crashes_is_one_line_and_no_file(
    module: object, name: str, title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pac_image()
    monkeypatch.setattr(module, name, crashes)
    with pytest.raises(InputError) as caught:
        rewrite_file(source, tmp_path / "out.elf", "pac", "register", Policy.USE)
    assert str(caught.value).startswith(f"{source}: {title} crashed on this file (SIGSEGV)")
    assert nothing_left(tmp_path)


def test_an_image_read_apart_is_the_image() -> None:
    assert load_untrusted(pac_image()) == load_image(pac_image())


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_untrusted(tmp_path / "absent.elf")


def test_a_larger_file_may_take_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[float, int]] = []
    monkeypatch.setattr(untrusted, "in_child", lambda *_, seconds, memory, **__: given.append((seconds, memory)))
    for mib in (0, 3):
        (tmp_path / "x").write_bytes(bytes(mib << 20))
        apart(PARSER, tmp_path / "x", len, seconds=1)
    assert given == [
        (PARSER.seconds + 1, PARSER.memory),
        (PARSER.seconds + 1 + 3 * PARSER.seconds_per_mib, PARSER.memory + 3 * PARSER.memory_per_mib),
    ]


def test_explain_survives_the_emulator(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(explain, "explain", crashes)
    with pytest.raises(SystemExit) as caught:
        cli.main(["explain", str(pac_image()), "test_main"])
    assert caught.value.code == InputError.exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"unwindlab: {pac_image()}: the emulator crashed on this file (SIGSEGV)")
    assert err.count("\n") == 1


SLOW = """
import sys, time
from lab import rewriting
from lab.cli import main
rewriting._proved = lambda *_: time.sleep(600)
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to_all", [True, False])
def test_a_stopped_rewrite_leaves_neither_files_nor_processes(number: int, to_all: bool, tmp_path: Path) -> None:
    options = ["--mode", "pac", "--flavour", "register", "--policy", "use"]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "rewrite", str(pac_image()), "-o", str(tmp_path / "out.elf"), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    until(lambda: bool(list(tmp_path.iterdir())) and bool(children(process.pid)))
    started = children(process.pid)
    (os.killpg if to_all else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, "", "unwindlab: interrupted\n")
    assert nothing_left(tmp_path)
    until(lambda: all(gone(child) for child in started))
