"""Whole programs: static glibc and musl programs and Debian's, where they are, and what installed compilers link."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.images.flow import decode_function
from lab.images.image import Image, load_image
from rewriters.census import JumpKind, Survey, survey
from tests.rewriters.census.frames import disagreements

#: A directory with static images, each named after its kind.
REAL = os.environ.get("UNWINDLAB_REAL_IMAGES", "")
NAMES = ("busybox-arm64", "bash-arm64", "busybox-amd64", "bash-amd64", "glibc-aarch64", "glibc-x86_64", "musl-x86_64")
COMPILERS = ("aarch64-linux-gnu-gcc", "x86_64-linux-gnu-gcc", "musl-gcc")
PROGRAM = """
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
static jmp_buf place;
int main(int argc, char **argv) {
  if (!setjmp(place)) { printf("%d %s\\n", argc, argv[0]); longjmp(place, 1); }
  return atoi(argv[0]);
}
"""
#: Of the functions that make a call, the share that must be understood.
ENOUGH = 0.97


def share(image: Image, found: Survey) -> float:
    """The share of calling functions that are understood."""
    starts = {f.start: f for f in image.functions}
    understood = sum(body.calls for body in found.bodies.values())
    missed = sum(bool(decode_function(image, starts[start]).calls) for start in found.left_out)
    return understood / (understood + missed)


def check(image: Image) -> Survey:
    """What holds of every whole program; its census."""
    found = survey(image)
    assert share(image, found) >= ENOUGH, sorted((o.function, o.reason) for o in found.left_out.values())
    assert set(found.bodies) | set(found.left_out) == {f.start for f in image.functions}
    for group in found.groups:
        assert len(group & set(found.bodies)) in {0, len(group)}
    for body in found.bodies.values():
        assert body.function.start <= body.entry < body.function.end
        assert list(body.exits) == sorted(body.exits, key=lambda way: way.address)
        assert all(body.function.start <= way.address < body.function.end for way in body.exits)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_real_program(name: str) -> None:
    path = Path(REAL) / name
    if not REAL or not path.is_file():
        pytest.skip(f"{name}: not there; set UNWINDLAB_REAL_IMAGES to a directory that holds it")
    found = check(load_image(path))
    assert {shape.kind for shape in found.jumps.values()} == {JumpKind.SETJMP, JumpKind.LONGJMP}


@pytest.mark.parametrize("compiler", COMPILERS)
def test_what_an_installed_compiler_links(compiler: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    (tmp_path / "program.c").write_text(PROGRAM)
    command = [compiler, "-O2", "-static", "-no-pie", "program.c", "-o", "program"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{compiler} links no static program here: {done.stderr[:200]}")
    image = load_image(tmp_path / "program")
    found = check(image)
    names = {shape.kind: shape.function.name for shape in found.jumps.values()}
    assert {JumpKind.SETJMP, JumpKind.LONGJMP} <= set(names)
    asked, wrong = disagreements(image, found)
    assert asked > 0
    assert wrong == []
