"""What this machine has of what the lab can use, and what the absence of each costs.

Nothing here raises for something that is missing: that is the finding.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lab.arch import ARCHES, Arch
from lab.engine_findings import engine_findings
from lab.errors import LabError
from lab.findings import Finding, Status
from lab.images.cache import cache_folder
from lab.images.toolchain import CLANGS, find_compiler, musl_root

PROBE_SOURCE = "void _start(void) { for (;;) ; }\n"
_TIMEOUT_S = 20


_PACKAGES = {
    "lief": "no image can be read or rewritten",
    "capstone": "no instruction can be decoded",
    "keystone-engine": "no rewriter can assemble its sequences",
    "unicorn": "nothing can be run",
    "numba": "nothing can be judged: the native engine is compiled with it",
    "llvmlite": "nothing can be judged: numba compiles through it",
    "numpy": "no tables",
    "pandas": "no tables in reports",
    "pyarrow": "no results can be stored",
    "matplotlib": "no figures",
}

_TOOLS = {
    "aarch64-linux-gnu-gcc": (("aarch64-linux-gnu-gcc",), "no second compiler for arm64 (gcc-aarch64-linux-gnu)"),
    "x86_64-linux-gnu-gcc": (("x86_64-linux-gnu-gcc", "gcc"), "no second compiler for x86-64 (gcc-x86-64-linux-gnu)"),
    **{name: ((name,), f"no code of {name} to compare with ({name})") for name in CLANGS},
    "objtool": (("objtool",), "static findings are not compared with the kernel's own tool (linux-kbuild-*)"),
    "qemu-aarch64": (("qemu-aarch64", "qemu-aarch64-static"), "no second machine to run arm64 images on (qemu-user)"),
    "readelf": (("readelf",), "written ELF files are not cross-checked by binutils"),
    "gdb": (("gdb", "gdb-multiarch"), "unwinds are not cross-checked by a debugger"),
    "llvm-mca": (("llvm-mca", "llvm-mca-19"), "no pipeline estimates of the inserted sequences (llvm)"),
}


def diagnose() -> list[Finding]:
    """Everything the lab can use, what must be there first.  Raises nothing.

    Takes some three seconds, of which two are the quick self-tests; where the engine's hook has still to be
    compiled, some fifteen more.
    """
    return [
        _toolchain(),
        _musl(),
        *(_probe(arch) for arch in ARCHES),
        _cache(),
        *(_package(name, cost) for name, cost in _PACKAGES.items()),
        *(_tool(name, names, cost) for name, (names, cost) in _TOOLS.items()),
        *engine_findings(),
    ]


def healthy(findings: list[Finding]) -> bool:
    """Whether nothing that the lab must have is missing, and no self-test failed."""
    return not any(finding.status in {Status.MISSING, Status.FAILED} for finding in findings)


def _toolchain() -> Finding:
    cost = "no image can be built"
    try:
        compiler = find_compiler()
    except LabError as error:
        return Finding("clang and LLD (ziglang)", None, Status.MISSING, cost, str(error))
    return Finding("clang and LLD (ziglang)", compiler.version, Status.OK, cost, compiler.describe())


def _musl() -> Finding:
    cost = "no workload of foreign C code can be built"
    try:
        return Finding("musl sources", None, Status.OK, cost, str(musl_root()))
    except LabError as error:
        return Finding("musl sources", None, Status.MISSING, cost, str(error))


def _probe(arch: Arch) -> Finding:
    """Compile and link the smallest program there is."""
    name, cost = f"build for {arch.name}", f"no {arch.title} images"
    try:
        with tempfile.TemporaryDirectory(prefix="unwindlab-doctor-") as folder:
            place = Path(folder)
            (place / "probe.c").write_text(PROBE_SOURCE, encoding="ascii")
            compiler = find_compiler()
            compiler.compile(arch, ["-O2", "-ffreestanding", "-c", "probe.c", "-o", "probe.o"], place)
            compiler.link(["-static", "--emit-relocs", "-o", "probe.elf", "probe.o"], place)
            size = (place / "probe.elf").stat().st_size
    except (LabError, OSError) as error:
        return Finding(name, None, Status.MISSING, cost, str(error))
    return Finding(name, None, Status.OK, cost, f"{size} bytes linked")


def _cache() -> Finding:
    cost = "no image can be kept"
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-"):
            pass
    except (LabError, OSError) as error:
        return Finding("cache folder", None, Status.MISSING, cost, str(error))
    return Finding("cache folder", None, Status.OK, cost, str(folder))


def _package(name: str, cost: str) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name), Status.OK, cost)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, None, Status.MISSING, cost, f"pip install {name}")


def _tool(name: str, names: tuple[str, ...], cost: str) -> Finding:
    places = (shutil.which(candidate) or _kbuild(candidate) for candidate in names)
    place = next((place for place in places if place), None)
    if place is None:
        return Finding(name, None, Status.OPTIONAL_MISSING, cost)
    return Finding(name, _tool_version(place), Status.OK, cost, place)


def _kbuild(name: str) -> str | None:
    """Debian keeps objtool out of the PATH, in /usr/lib/linux-kbuild-VERSION/tools/objtool/."""
    found = sorted(Path("/usr/lib").glob(f"linux-kbuild-*/tools/{name}/{name}"))
    return str(found[-1]) if found and os.access(found[-1], os.X_OK) else None


def _tool_version(place: str) -> str | None:
    try:
        done = subprocess.run(
            [place, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return next(_versions(done.stdout.decode(errors="replace")), None)


def _versions(text: str) -> Iterator[str]:
    for match in re.finditer(r"\b\d+\.\d+(?:\.\d+)*\b", text):
        yield match.group()


__all__ = ["Finding", "Status", "diagnose", "healthy"]
