"""Programs for other producers of unwind tables: sources of musl, linked by GNU ld without what they call."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.arch import arch_by_name
from lab.images.image import Image, load_image
from lab.images.toolchain import musl_includes, musl_root

GNU = {"x86_64": "", "aarch64": "aarch64-linux-gnu-"}
FILES = (
    "regex/regcomp.c",
    "regex/regexec.c",
    "stdio/vfprintf.c",
    "stdio/vfscanf.c",
    "search/tsearch.c",
    "regex/fnmatch.c",
    "internal/floatscan.c",
    "time/strftime.c",
)
FLAGS = ("-std=c99", "-nostdinc", "-D_XOPEN_SOURCE=700", "-O2", "-w", "-c", "-ffreestanding", "-fno-stack-protector")
FLAGS += ("-fasynchronous-unwind-tables", "-fno-pic")


def tool(name: str) -> str:
    """Where *name* is; skips where it is not."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}, which is not installed")
    return found


def run(*command: str | Path) -> str:
    """Output of *command*; skips where its assembler does not know --gsframe."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "gsframe" in done.stderr:
        pytest.skip(f"needs an assembler with --gsframe; that of {command[0]} has none")
    assert done.returncode == 0, done.stderr
    return done.stdout


def musl_image(arch: str, folder: Path, flags: list[str], after: Callable[[Path], object] = bool) -> Image:
    """FILES, compiled by the system's gcc with *flags*; *after* is called with each object."""
    places = [f"-I{place}" for place in musl_includes(arch_by_name(arch))]
    if arch == "x86_64":
        flags = [*flags, "-fcf-protection=none"]
    objects = []
    for name in FILES:
        objects.append(folder / f"{Path(name).stem}.o")
        source = musl_root() / "src" / name
        run(tool(f"{GNU[arch]}gcc"), *FLAGS, *places, *flags, "-o", objects[-1], source)
        after(objects[-1])
    symbols = run(tool(f"{GNU[arch]}nm"), *objects)
    defined = set(re.findall(r"^[0-9a-f]+ [^Uw] (\S+)$", symbols, re.MULTILINE))
    missing = set(re.findall(r"^ +[Uw] (\S+)$", symbols, re.MULTILINE)) - defined
    output = folder / "musl.elf"
    made_up = [f"--defsym={name}=0x401000" for name in sorted(missing)]
    run(tool(f"{GNU[arch]}ld"), "-static", "-z", "muldefs", "-e", "regcomp", *made_up, *objects, "-o", output)
    return load_image(output)
