"""Executed instructions by pc as qemu-user sees them: another build of the translator, and none of unicorn's hooks.

qemu is told to translate one instruction at a time and to log every translated block before it runs it
(``-d exec,nochain``); so each log line is one instruction.  A line "Stopped execution" takes the one before it back.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lab.arch.decode import Kind
from lab.cost.profile import insn_of
from lab.errors import EngineError
from lab.images.image import Image

_VERSION = re.compile(r"version (\d+)\.(\d+)")
_TRACE = b"Trace "
_STOPPED = b"Stopped execution"
ONE_AT_A_TIME = ((8, 1), "-one-insn-per-tb", "-singlestep")
"""From this version on the first option, before it the second (qemu's release notes)."""


@dataclass(frozen=True)
class QemuCount:
    """Executions by pc, and the program's output."""

    executions: dict[int, int]
    output: bytes
    status: int


@cache
def qemu_for(arch: str) -> tuple[str, str] | None:
    """(path of qemu-user for *arch*, its version), None where it is not installed."""
    path = shutil.which(f"qemu-{arch}") or shutil.which(f"qemu-{arch}-static")
    if path is None:
        return None
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = _VERSION.search(told)
    return (path, f"{found[1]}.{found[2]}") if found else None


def count_by_qemu(image: Image, seconds: float) -> QemuCount:
    """*image* executed by qemu-user, which must be installed.  A rep-prefixed instruction counts once, as everywhere.

    EngineError where it does not end within *seconds*."""
    found = qemu_for(image.arch.name)
    if found is None:
        raise EngineError(f"qemu-{image.arch.name} is not installed")
    path, version = found
    since, new, old = ONE_AT_A_TIME
    option = new if tuple(map(int, version.split("."))) >= since else old
    command = [path, option, "-d", "exec,nochain", str(Path(image.path).absolute())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=1 << 20) as process:
        assert process.stdout is not None and process.stderr is not None
        executions: Counter[int] = Counter()
        repeats = _Repeats(image)
        previous: int | None = None
        for line in process.stderr:
            if line.startswith(_TRACE):
                pc = int(line.split(b"/", 2)[1], 16)
                if pc != previous or not repeats.repeats(pc):
                    executions[pc] += 1
                previous = pc
            elif line.startswith(_STOPPED) and previous is not None:
                executions[previous] -= 1
                previous = None
        output = process.stdout.read()
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise EngineError(f"{image.path}: qemu did not end within {seconds:g} s") from None
    return QemuCount({pc: times for pc, times in executions.items() if times}, output, status)


class _Repeats:
    """Which addresses hold a rep-prefixed instruction, decoded once each."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._known: dict[int, bool] = {}

    def repeats(self, pc: int) -> bool:
        """Whether the instruction at *pc* iterates."""
        if pc not in self._known:
            self._known[pc] = insn_of(self._image, pc).kind is Kind.REPEAT
        return self._known[pc]
