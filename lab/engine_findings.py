"""What the doctor says of the native engine: its registers, its compiled code, and the quick self-tests.

The self-tests run in a process of their own: compiled code that is wrong may end it, or never end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import lab
from lab.arch import ARCHES
from lab.errors import LabError
from lab.findings import Finding, Status
from lab.images.cache import cache_folder

SELF_TEST = (sys.executable, "-P", "-c", "from lab.cli import main; main()", "selftest", "--quick", "--json")
"""-P: a folder ``lab`` that happens to lie in the current one is not this package."""
_TIMEOUT_S = 900
"""Long: on a busy machine with nothing compiled yet the quick self-tests take minutes."""


def engine_findings() -> list[Finding]:
    """Raises nothing."""
    before = _modules()
    began = time.monotonic()
    tests = _self_tests()
    return [_registers(), _compiled(before, time.monotonic() - began), *tests]


def _registers() -> Finding:
    name, cost = "guest registers", "read through unicorn's API, not by pointer: the native engine is slower"
    try:
        from lab.machine.cpu import new_cpu
        from lab.machine.registers import register_block

        how = {arch.title: register_block(new_cpu(arch), arch).how for arch in ARCHES}
    except Exception as error:  # a broken installation raises anything; that is the finding
        return Finding(name, None, Status.MISSING, "nothing can be run", _line(error))
    text = ", ".join(f"{title} by {way}" for title, way in how.items())
    by_pointer = all(way == "pointer" for way in how.values())
    return Finding(name, None, Status.OK if by_pointer else Status.OPTIONAL_MISSING, cost, text, text)


def _modules() -> dict[str, int]:
    """Name -> bytes of each compiled module in the cache."""
    try:
        folders = [path for path in _native_folder().iterdir() if path.is_dir()]
        return {path.name: sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) for path in folders}
    except (LabError, OSError):
        return {}


def _native_folder() -> Path:
    return cache_folder() / "native"


def _compiled(before: dict[str, int], seconds: float) -> Finding:
    """How much compiled code is kept, and whether the self-tests had to compile."""
    name, cost = "compiled hooks", "the engine's hook is compiled anew by every process, some fifteen seconds"
    now = _modules()
    if not now:
        return Finding(name, None, Status.OPTIONAL_MISSING, cost, "none are kept")
    kept = f"{len(now)} module{'' if len(now) == 1 else 's'}, {sum(now.values()) / 1e6:.1f} MB in {_native_folder()}"
    new = len(now.keys() - before.keys())
    if new:
        kept += f"; {new} of them compiled just now, which is most of these {seconds:.0f} s and is not done again"
    return Finding(name, None, Status.OK, cost, kept, kept)


def _self_tests() -> list[Finding]:
    """One finding for each check of ``unwindlab selftest --quick``, both architectures together."""
    try:
        checks = _run()
    except Exception as error:  # whatever it is, the self-tests did not run
        return [Finding("self-tests", None, Status.FAILED, f"no engine was checked: {_line(error)}", _line(error))]
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for check in checks:
        grouped[check["check"]].append(check)
    return [_finding(name, parts) for name, parts in grouped.items()]


def _run() -> list[dict[str, Any]]:
    """The checks as ``--json`` gives them.  LabError with what went wrong where it gives none."""
    here = str(Path(lab.__file__).parent.parent)
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        SELF_TEST, env=os.environ | {"PYTHONPATH": path}, stdin=subprocess.DEVNULL, capture_output=True,
        timeout=_TIMEOUT_S, check=False, text=True, errors="replace",
    )  # fmt: skip
    if done.returncode < 0:
        raise LabError(f"the process was ended by signal {-done.returncode}")
    if done.returncode not in {0, 1} or not done.stdout:
        raise LabError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
    checks: list[dict[str, Any]] = json.loads(done.stdout)["checks"]
    return checks


def _finding(name: str, parts: list[dict[str, Any]]) -> Finding:
    problems = [problem for part in parts for problem in part["problems"]]
    text = "; ".join(f"{part['arch']} {part['detail']}" for part in parts)
    if problems:
        cost = f"no count can be trusted: {problems[0]}"
        return Finding(f"self-test: {name}", None, Status.FAILED, cost, text)
    if any(part["status"] == "skipped" for part in parts):
        return Finding(f"self-test: {name}", None, Status.OPTIONAL_MISSING, text, text)
    return Finding(f"self-test: {name}", None, Status.OK, "no count can be trusted", text, _sum(parts))


def _sum(parts: list[dict[str, Any]]) -> str:
    """Counts of both architectures, added up."""
    total: dict[str, int] = defaultdict(int)
    for part in parts:
        for noun, number in part["counts"].items():
            total[noun] += number
    return ", ".join(f"{number} {noun}" for noun, number in total.items())


def _line(error: BaseException) -> str:
    kind = "" if isinstance(error, LabError) else f"{type(error).__name__}: "
    return f"{kind}{' '.join(str(error).split())}"
