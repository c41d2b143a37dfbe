"""assert_reliable: the assertion of lab.testing, and the fixture of the pytest plugin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.errors import InputError
from lab.images.image import Image
from lab.testing import assert_reliable
from tests import probes
from tests.console import environment
from tests.support import compile_c

PROGRAM = """
#define APART static __attribute__((noinline))
APART long leaf(long x) { __asm__ volatile("" ::: "memory"); return x * 3; }
APART long outer(long x) { long y = leaf(x); __asm__ volatile("" ::: "memory"); return y + 1; }
int test_main(void) { return outer(2) != 7; }
"""


@pytest.fixture(scope="module")
def image() -> Image:
    return compile_c("aarch64", PROGRAM)


def test_the_truth_is_reliable(image: Image) -> None:
    found = assert_reliable(image.path, "oracle", modes=("boundary", "call"), engine="reference")
    assert found.stops == found.verdicts["exact"] > 10


def test_a_plain_walk_is_not_and_the_message_shows_the_stacks(image: Image) -> None:
    with pytest.raises(AssertionError, match=r"\d+ missing \(at most 0\)") as failed:
        assert_reliable(image.path, "fp", engine="reference")
    assert "  true      " in str(failed.value)
    assert "  reported  " in str(failed.value)
    allowed = assert_reliable(image.path, "fp", max_missing=10_000, engine="reference")
    assert allowed.verdicts["missing"] > 0


def test_refusals_are_allowed_until_they_are_not(image: Image) -> None:
    found = assert_reliable(image.path, "fp-reliable", engine="reference")
    assert found.verdicts["refused"] == found.stops
    with pytest.raises(AssertionError, match="refused"):
        assert_reliable(image.path, "fp-reliable", max_refused=0, engine="reference")


def test_an_unwinder_of_your_own(image: Image) -> None:
    with pytest.raises(AssertionError, match="missing"):
        assert_reliable(image.path, probes.EMPTY, engine="reference")


def test_a_program_cut_short_is_no_success(image: Image) -> None:
    with pytest.raises(AssertionError, match="did not end well"):
        assert_reliable(image.path, "oracle", max_instructions=5, engine="reference")


def test_what_does_not_exist_is_said(image: Image, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown mode"):
        assert_reliable(image.path, "fp", modes=("bounday",))
    with pytest.raises(InputError):
        assert_reliable(tmp_path / "no.elf", "fp")


TESTS = """
from pathlib import Path

HERE = Path({path!r})


def test_the_truth(assert_reliable):
    assert assert_reliable(HERE, "oracle", engine="reference").stops > 10


def test_a_plain_walk(assert_reliable):
    assert_reliable(HERE, "fp", engine="reference")
"""


def test_the_plugin_in_a_pytest_of_its_own(image: Image, tmp_path: Path) -> None:
    """As a project uses it that does not install the lab's entry points: pytest -p lab.pytest_plugin."""
    (tmp_path / "test_mine.py").write_text(TESTS.format(path=str(image.path)))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "lab.pytest_plugin",
        "test_mine.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "missing (at most 0)" in done.stdout
    assert "  reported  " in done.stdout
