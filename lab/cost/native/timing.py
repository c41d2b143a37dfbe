"""Processor time of whole executions: pinned, interleaved, in an order that changes from round to round.

A sample is the processor time (user and system, as wait4 reports it) of one process from its start to its end.  The
time on the wall would also count how long it waited for a processor.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lab.errors import EngineError

Command = tuple[str, ...]
"""A program's path and its arguments."""


@dataclass(frozen=True)
class Variant:
    """One of the programs that are compared."""

    name: str
    command: Command


def cpu_seconds(command: Command, out: Path | None = None) -> float:
    """Processor time of one execution, in seconds; its output goes to *out*, or nowhere.

    EngineError where it does not exit with 0."""
    where = str(out) if out else os.devnull
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [(os.POSIX_SPAWN_OPEN, 1, where, flags, 0o600), (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    pid = os.posix_spawn(command[0], command, {}, file_actions=actions)
    _, status, used = os.wait4(pid, 0)
    if status:
        raise EngineError(f"{' '.join(command)}: ended with status {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime


def interleaved(
    variants: Sequence[Variant], samples: int, seed: int, tick: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    """*samples* of each variant: every round executes each once, in an order drawn anew.  Name -> seconds.

    A round that is not counted goes first."""
    chance = random.Random(seed)
    found: dict[str, list[float]] = {variant.name: [] for variant in variants}
    for variant in variants:
        cpu_seconds(variant.command)
    for _ in range(samples):
        order = list(variants)
        chance.shuffle(order)
        for variant in order:
            found[variant.name].append(cpu_seconds(variant.command))
        tick()
    return found


@contextmanager
def pinned() -> Iterator[int | None]:
    """Keep this process and its children on one processor, the last that it may use: its number, None if refused."""
    before = os.sched_getaffinity(0)
    chosen: int | None = None
    with suppress(OSError):
        os.sched_setaffinity(0, {max(before)})
        chosen = max(before)
    try:
        yield chosen
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, before)
