"""How long a run takes to begin: from the start of a process to its first hooked instruction, code compiled before.

``python -m lab.bench.start ARCH WORKLOAD PROPOSAL`` is such a process: it does what a job does, with the unwinders of
the limits, ends after one instruction and prints the time and the processor time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import lab
from lab.errors import EngineError
from lab.machine.outcome import Clock

_TIMEOUT_S = 120


def measure_start(arch: str, workload: str, proposal: str) -> Clock:
    """What passes from just before a new process is made until its first instruction has been judged.  ``cpu_s`` is the
    new process's, all its threads together.

    EngineError where the process fails.
    """
    root = str(Path(lab.__file__).parent.parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-P", "-m", "lab.bench.start", arch, workload, proposal]
    began = time.monotonic()  # on Linux the same clock in every process
    try:
        done = subprocess.run(
            command,
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"measuring the start: no first instruction within {_TIMEOUT_S} s") from None
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise EngineError(f"measuring the start: {last[0]}")
    now, cpu_s = map(float, done.stdout.split())
    return Clock(now - began, cpu_s)


def _first_instruction(arch: str, workload: str, proposal: str) -> tuple[float, float]:
    """``time.monotonic`` and ``time.process_time`` when one instruction has been judged natively."""
    from lab import registry
    from lab.arch import arch_by_name
    from lab.bench.subjects import JUDGED, make_subject
    from lab.engine.native.engine import NativeEngine
    from lab.engine.plan import Plan
    from lab.machine.machine import Limits

    subject = make_subject(workload, arch_by_name(arch), proposal)
    plan = Plan(tuple(map(registry.unwinder, JUDGED)), ("boundary",), Limits(instructions=1))
    done = NativeEngine(subject.image, subject.rewrite, plan).run()
    now, cpu_s = time.monotonic(), time.process_time()
    if done.instructions != 1:
        raise EngineError(f"{subject.image.path}: {done.instructions} instructions instead of one")
    return now, cpu_s


if __name__ == "__main__":
    print(*_first_instruction(*sys.argv[1:]))
