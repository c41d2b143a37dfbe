"""Hardware counters through perf, where the machine has them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

from lab.cost.native.timing import Command

EVENTS = ("instructions:u", "cycles:u", "branches:u", "branch-misses:u")


@dataclass(frozen=True)
class Counters:
    """Event -> count of one execution; empty where there are none, and then ``why_not`` says so."""

    counts: dict[str, int]
    why_not: str = ""


def counters(command: Command) -> Counters:
    """What the processor counted in user mode in one execution of *command*."""
    if why := unavailable():
        return Counters({}, why)
    return _run(command)


@cache
def unavailable() -> str:
    """Why there are no hardware counters here, "" where there are."""
    if shutil.which("perf") is None:
        return "perf is not installed"
    return _run(("/bin/true",)).why_not


def _run(command: Command) -> Counters:
    asked = ["perf", "stat", "-x", ",", "-e", ",".join(EVENTS), "--", *command]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    fields = [line.split(",") for line in done.stderr.splitlines() if line.count(",") >= 2]
    found = {f[2]: int(f[0]) for f in fields if f[0].isdigit()}
    if len(found) == len(EVENTS):
        return Counters(found)
    missing = [event for event in EVENTS if event not in found]
    said = next((f[0].strip("<>") for f in fields if not f[0].isdigit()), "no answer")
    return Counters({}, f"perf: {', '.join(missing)}: {said}")
