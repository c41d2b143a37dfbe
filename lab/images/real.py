"""Real static programs for tests and trials: found where the user or ``make real`` has put them, never fetched here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lab.images.cache import cache_folder

VARIABLE = "UNWINDLAB_REAL"


@dataclass(frozen=True, slots=True)
class RealProgram:
    """A file name in the folder, its architecture's name, and what it is."""

    name: str
    arch: str
    title: str


PROGRAMS = (
    RealProgram("busybox-arm64", "aarch64", "Debian's busybox-static"),
    RealProgram("busybox-amd64", "x86_64", "Debian's busybox-static"),
    RealProgram("bash-arm64", "aarch64", "Debian's bash-static"),
    RealProgram("bash-amd64", "x86_64", "Debian's bash-static"),
    RealProgram("glibc-aarch64", "aarch64", "a C program with static glibc"),
    RealProgram("glibc-x86_64", "x86_64", "a C program with static glibc"),
    RealProgram("musl-aarch64", "aarch64", "a C program with static musl"),
    RealProgram("musl-x86_64", "x86_64", "a C program with static musl"),
    RealProgram("cxx-aarch64", "aarch64", "a C++ program that throws, with static glibc"),
    RealProgram("cxx-x86_64", "x86_64", "a C++ program that throws, with static glibc"),
)


def real_folder() -> Path:
    """``$UNWINDLAB_REAL``, else ``real`` in the cache folder; maybe absent."""
    given = os.environ.get(VARIABLE)
    return Path(given).absolute() if given else cache_folder() / "real"


def real_program(name: str) -> Path | None:
    """The file of the program called *name* (see PROGRAMS), None where it is not there."""
    path = real_folder() / name
    return path if path.is_file() else None
