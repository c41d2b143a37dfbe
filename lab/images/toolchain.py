"""Compilers, found through Python: the clang and LLD of the ``ziglang`` wheel, and musl's sources beside them.

The wheel's one binary is a clang driver and an LLD at once (``zig clang``, ``zig ld.lld``).  It is run
directly, never through a shell, and in an empty environment: a user's CPATH or CCC_OVERRIDE_OPTIONS must not
change an image.  ``zig cc`` is not used: it rewrites -O levels and rejects some flags.

gcc is the second compiler: the one of the system, for the architectures it has one for.  It compiles; LLD of the
wheel links what it made, and the headers are musl's of the wheel.  Nothing needs it: where it is not installed,
what asks for it is unsupported.  The same goes for further clangs of the system, ``clang-NN`` on the PATH, each under
its own name.  Another compiler is one more entry in ``_FINDERS``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType

from lab.arch import ARCHES, Arch
from lab.errors import InputError, ToolchainError

WHEEL = "ziglang"
TIMEOUT_S = 300
CLANGS = tuple(f"clang-{major}" for major in range(16, 22))
"""Further clangs that are looked for, under the names of Debian's packages."""
GCC_VERSION = r"(?m)^\S*gcc.* (\d+\.\d+\.\d+)"
_REINSTALL = f"reinstall it: pip install --force-reinstall {WHEEL}"


@dataclass(frozen=True)
class Compiler:
    """One compiler and the linker that goes with it.

    ``command`` maps an architecture's name to the argv prefix that compiles for it; one that is missing has no
    compiler here, and ``absent`` says what to install.  ``narrow_long_double`` makes ``long double`` the 64-bit
    format, where the compiler can.  ``scalar`` turns vectorising off.  ``package`` names what ships the compiler,
    with its version.
    """

    name: str
    version: str
    package: str
    command: Mapping[str, tuple[str, ...]]
    linker: tuple[str, ...]
    narrow_long_double: Mapping[str, tuple[str, ...]]
    scalar: tuple[str, ...]
    absent: str = ""

    def describe(self) -> str:
        """Name, version and package in one line; part of every cache key."""
        return f"{self.name} {self.version} ({self.package})"

    def compile(self, arch: Arch, arguments: Sequence[str], cwd: Path) -> None:
        """Run the compiler for *arch* in *cwd*.  ToolchainError (exit 3) with its first error line."""
        if arch.name not in self.command:
            raise ToolchainError(f"no {self.name} for {arch.name}: {self.absent}")
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


def missing_compiler(name: str, arch: Arch) -> str | None:
    """Why the compiler called *name* cannot build for *arch* on this machine, None if it can.  That clang is missing
    is no such reason but find_compiler's error: without the wheel nothing can be built at all."""
    compiler = find_compiler(name)
    return None if arch.name in compiler.command else f"no {compiler.name} for {arch.title} here: {compiler.absent}"


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
        narrow_long_double=dict.fromkeys((arch.name for arch in ARCHES), ("-Xclang", "-mlong-double-64")),
        scalar=("-fno-vectorize", "-fno-slp-vectorize"),
    )


@cache
def _find_gcc() -> Compiler:
    """gcc under the name of its target; the one called just gcc where that is its target.  Its version is that of
    each driver, since they are separate packages."""
    clang = find_compiler()
    command, versions = {}, []
    for arch in ARCHES:
        place = shutil.which(f"{arch.triple}-gcc") or _native_gcc(arch)
        if place is not None:
            command[arch.name] = (place,)
            versions.append(f"{arch.name} {_version((place,), GCC_VERSION)}")
    return Compiler(
        name="gcc",
        version=", ".join(versions) or "absent",
        package=f"the system's, linked by {clang.package}",
        command=MappingProxyType(command),
        linker=clang.linker,
        # Only the x86 back end has the option.
        narrow_long_double={"x86_64": ("-mlong-double-64",)},
        # The last keeps memset's own loop from becoming a call of memset.
        scalar=("-fno-tree-vectorize", "-fno-tree-slp-vectorize", "-fno-tree-loop-distribute-patterns"),
        absent=f"looked for {' and '.join(f'{arch.triple}-gcc' for arch in ARCHES)}; on Debian install "
        + " or ".join(f"gcc-{arch.triple.replace('_', '-')}" for arch in ARCHES),
    )


@cache
def _find_other_clang(name: str) -> Compiler:
    """The system's clang of one major version, under the name of its package.  It compiles; the wheel's LLD links."""
    clang = find_compiler()
    place = shutil.which(name)
    command = {arch.name: (place, f"--target={arch.triple}") for arch in ARCHES} if place else {}
    return replace(
        clang,
        name=name,
        version=_version((place,), r"clang version (\S+)") if place else "absent",
        package=f"the system's, linked by {clang.package}",
        command=MappingProxyType(command),
        absent=f"looked for {name}; on Debian install {name}",
    )


def _native_gcc(arch: Arch) -> str | None:
    """Where ``gcc`` is, if it compiles for *arch*."""
    place = shutil.which("gcc")
    if place is None:
        return None
    return place if _run((place, "-dumpmachine"), Path.cwd(), what="gcc").startswith(f"{arch.name}-") else None


_FINDERS: Mapping[str, Callable[[], Compiler]] = MappingProxyType(
    {"clang": _find_clang, "gcc": _find_gcc, **{name: partial(_find_other_clang, name) for name in CLANGS}}
)


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
