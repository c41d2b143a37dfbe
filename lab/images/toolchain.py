"""Compilers, found through Python: the clang and LLD of the ``ziglang`` wheel, and musl's sources beside them.

The wheel's one binary is a clang driver and an LLD at once (``zig clang``, ``zig ld.lld``).  It is run
directly, never through a shell, and in an empty environment: a user's CPATH or CCC_OVERRIDE_OPTIONS must not
change an image.  ``zig cc`` is not used: it rewrites -O levels and rejects some flags.

A second compiler is one more entry in ``_FINDERS``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from lab.arch import ARCHES, Arch
from lab.errors import InputError, ToolchainError

WHEEL = "ziglang"
TIMEOUT_S = 300
_REINSTALL = f"reinstall it: pip install --force-reinstall {WHEEL}"


@dataclass(frozen=True)
class Compiler:
    """One compiler and the linker that goes with it.

    ``command`` maps an architecture's name to the argv prefix that compiles for it; ``narrow_long_double``
    makes ``long double`` the 64-bit format; ``package`` names what ships the compiler, with its version.
    """

    name: str
    version: str
    package: str
    command: Mapping[str, tuple[str, ...]]
    linker: tuple[str, ...]
    narrow_long_double: tuple[str, ...]

    def describe(self) -> str:
        """Name, version and package in one line; part of every cache key."""
        return f"{self.name} {self.version} ({self.package})"

    def compile(self, arch: Arch, arguments: Sequence[str], cwd: Path) -> None:
        """Run the compiler for *arch* in *cwd*.  ToolchainError (exit 3) with its first error line."""
        _run((*self.command[arch.name], *arguments), cwd, what=f"{self.name} for {arch.name}")

    def link(self, arguments: Sequence[str], cwd: Path) -> None:
        """Run the linker in *cwd*.  ToolchainError (exit 3) with its first error line."""
        _run((*self.linker, *arguments), cwd, what="ld.lld")


def find_compiler(name: str = "clang") -> Compiler:
    """The compiler called *name*.  InputError (exit 2) if unknown, ToolchainError (exit 3) if it is not there."""
    finder = _FINDERS.get(name)
    if finder is None:
        raise InputError(f"unknown compiler '{name}'; known: {', '.join(compiler_names())}")
    return finder()


def compiler_names() -> tuple[str, ...]:
    """Every compiler the lab knows, installed or not."""
    return tuple(_FINDERS)


def musl_root() -> Path:
    """Root of musl's tree in the wheel: ``src``, ``arch`` and ``include`` lie below.  ToolchainError if absent."""
    root = _wheel() / "lib" / "libc" / "musl"
    if not (root / "src").is_dir():
        raise ToolchainError(f"the {WHEEL} wheel holds no musl sources; {_REINSTALL}")
    return root


def musl_includes(arch: Arch) -> tuple[Path, ...]:
    """Include folders for musl's own sources, in musl's order: internal headers shadow the public ones."""
    root = musl_root()
    public = root.parent / "include"
    return (
        root / "arch" / arch.name,
        root / "arch" / "generic",
        root / "src" / "include",
        root / "src" / "internal",
        public / f"{arch.name}-linux-musl",
        public / "generic-musl",
        root / "include",
        root / "src",
    )


@cache
def _wheel() -> Path:
    spec = importlib.util.find_spec(WHEEL)
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise ToolchainError(f"no compiler: the Python package '{WHEEL}' is missing; install it: pip install {WHEEL}")
    return Path(places[0])


@cache
def _find_clang() -> Compiler:
    binary = str(_wheel() / "zig")
    try:
        package = f"{WHEEL} {importlib.metadata.version(WHEEL)}"
    except importlib.metadata.PackageNotFoundError:
        package = f"{WHEEL} of unknown version"
    linker = _version((binary, "ld.lld"), r"LLD (\S+)")
    return Compiler(
        name="clang",
        version=_version((binary, "clang"), r"clang version (\S+)"),
        package=f"{package}, LLD {linker}",
        command=MappingProxyType({arch.name: (binary, "clang", f"--target={arch.triple}") for arch in ARCHES}),
        linker=(binary, "ld.lld"),
        # The driver refuses -mlong-double-64 on AArch64; the compiler proper takes it on both.
        narrow_long_double=("-Xclang", "-mlong-double-64"),
    )


_FINDERS: Mapping[str, Callable[[], Compiler]] = MappingProxyType({"clang": _find_clang})


def _version(command: Sequence[str], pattern: str) -> str:
    text = _run((*command, "--version"), Path.cwd(), what=" ".join(Path(part).name for part in command))
    found = re.search(pattern, text)
    if found is None:
        raise ToolchainError(f"{command[0]}: '--version' answers {text[:60]!r}, no version in it; {_REINSTALL}")
    return found.group(1)


def _run(command: Sequence[str], cwd: Path, what: str) -> str:
    """Standard output of *command*; ToolchainError in one line if it cannot start, fails, hangs or dies."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except OSError as error:
        raise ToolchainError(f"{what}: cannot run {command[0]}: {error.strerror}; {_REINSTALL}") from None
    except subprocess.TimeoutExpired:
        raise ToolchainError(f"{what}: no answer within {TIMEOUT_S} s") from None
    if done.returncode != 0:
        raise ToolchainError(f"{what} failed: {_first_error(done.stderr.decode(errors='replace'), done.returncode)}")
    return done.stdout.decode(errors="replace")


def _first_error(stderr: str, status: int) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    reason = next(
        (line for line in lines if "error:" in line), lines[0] if lines else f"exit status {status}, no message"
    )
    return reason[:300]
