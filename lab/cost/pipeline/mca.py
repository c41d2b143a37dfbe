"""llvm-mca: which scheduling models it has, and the cycles they give a sequence of instructions.

``-noalias=false``: a load may depend on every earlier store, as the pop of a shadow stack does on its push.  A core
whose report is that of another, resource by resource, shares its model.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from lab.errors import InputError

TRIPLE = "aarch64-linux-gnu"
CORES = (
    "cortex-a53", "cortex-a55", "cortex-a57", "cortex-a72", "cortex-a76", "cortex-a78", "cortex-a510", "cortex-a520",
    "cortex-a710", "cortex-x1", "cortex-x2", "neoverse-e1", "neoverse-n1", "neoverse-n2", "neoverse-v1", "neoverse-v2",
    "apple-m1", "ampere1", "a64fx", "thunderx2t99", "thunderx3t110", "tsv110", "exynos-m5", "falkor",
)  # fmt: skip
"""Cores that are asked for; those an llvm-mca does not know are left out."""
ITERATIONS = 200
_CYCLES = re.compile(r"^Total Cycles:\s+(\d+)$", re.MULTILINE)
_PROBE = """stp x29, x30, [sp, #-16]!
str x30, [x18], #8
ldr x30, [x18, #-8]!
ldp x29, x30, [sp], #16
adrp x16, 0
ldr x17, [x16, #8]
str x17, [x16, #8]
sub x16, sp, #4095, lsl #12
add x0, x1, x2, lsl #3
madd x3, x4, x5, x6
udiv x3, x4, x5
eor x16, x16, x30
cbz x16, #8
fadd d0, d1, d2
fmul v0.4s, v1.4s, v2.4s
ret
"""


@dataclass(frozen=True)
class Model:
    """A scheduling model, called by the first core that has it; ``cores`` are all of them."""

    core: str
    cores: tuple[str, ...]


@cache
def mca() -> str | None:
    """The path of llvm-mca, None where it is not installed."""
    return shutil.which("llvm-mca")


@cache
def version() -> str:
    """What it calls itself, with its version."""
    done = subprocess.run([_path(), "--version"], capture_output=True, text=True, check=False)
    return " ".join(next((line for line in done.stdout.splitlines() if "version" in line), "llvm-mca").split())


@cache
def models() -> tuple[Model, ...]:
    """The models of CORES, in that order.  InputError (exit 2) where there is no llvm-mca."""
    found: dict[str, list[str]] = {}
    for core in CORES:
        report = _report(core, _PROBE)
        if report is not None:
            found.setdefault(report, []).append(core)
    return tuple(Model(cores[0], tuple(cores)) for cores in found.values())


def cycles(model: Model, lines: Sequence[str]) -> float | None:
    """Cycles of one pass over *lines* (assembly text) where one follows the other; None where the model knows nothing
    of one of the instructions (many have none of paciasp, and a hint in its place would cost what a NOP does)."""
    report = _report(model.core, "\n".join(lines) + "\n")
    total = _CYCLES.search(report or "")
    return int(total[1]) / ITERATIONS if total else None


def _report(core: str, text: str) -> str | None:
    """What llvm-mca prints; None where it does not know the core, or has no model of it."""
    options = [f"-mtriple={TRIPLE}", f"-mcpu={core}", "-mattr=+v8.3a", "-noalias=false", f"-iterations={ITERATIONS}"]
    done = subprocess.run([_path(), *options], input=text, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 and "not a recognized processor" not in done.stderr else None


def _path() -> str:
    path = mca()
    if path is None:
        raise InputError("llvm-mca is not installed; install the package llvm (Debian), or leave --pipeline out")
    return path
