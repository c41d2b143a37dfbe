"""Files nobody vouches for: what reads, rewrites or runs one does so in a child, within limits.

Images the lab built itself (its cache) need none of this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lab.child import in_child
from lab.images.image import Image, load_image

Result = TypeVar("Result")

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Stage:
    """Who works on a file, as errors call it, and what it may take: seconds and bytes of memory, each with so much
    more per MiB of the file.  Far above what sound files need, also on a busy machine."""

    title: str
    seconds: float
    seconds_per_mib: float
    memory: int
    memory_per_mib: int


PARSER = Stage("the ELF parser", 10, 2, 512 * _MIB, 64 * _MIB)
TABLES = Stage("the reader of unwind tables", 30, 30, 1024 * _MIB, 512 * _MIB)
REWRITER = Stage("the rewriter", 60, 60, 1024 * _MIB, 1024 * _MIB)
EMULATOR = Stage("the emulator", 60, 10, 4096 * _MIB, 256 * _MIB)


def apart(stage: Stage, path: Path, work: Callable[..., Result], *args: object, seconds: float = 0) -> Result:
    """``work(*args)``, which is *stage*'s work on the file *path*, in a child; *seconds* on top of the stage's own.

    Raises what the work raises, and InputError that names the file where it crashed or passed a limit."""
    try:
        size = path.stat().st_size / _MIB
    except OSError:
        size = 0  # the work says what is wrong with it
    return in_child(
        work,
        *args,
        what=f"{path}: {stage.title}",
        seconds=stage.seconds + stage.seconds_per_mib * size + seconds,
        memory=stage.memory + int(stage.memory_per_mib * size),
    )


def load_untrusted(path: Path) -> Image:
    """``load_image``, where a crash of the parser is an InputError."""
    return apart(PARSER, path, load_image, path)
