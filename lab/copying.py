"""Does a mode by itself change what a program does?  The program beside a rewrite of it that only copies.

A rewrite that goes wrong may do so because of its sequences or because of what the mode did to the code around them.
This is the second half alone: the same mode, with sequences that do nothing (rewriters.copyonly).
"""

from __future__ import annotations

import rewriters
from lab.cost.counts import count
from lab.errors import RefusedError
from lab.images.image import Image, parse_image
from lab.images.rebase import rebased, way_home
from lab.layout import Leaves, Policy
from lab.machine.machine import End, Limits, Process
from rewriters.copyonly import COPY_ONLY


def copy_check(image: Image, mode: str, leaves: Leaves, limits: Limits, process: Process | None = None) -> str:
    """``passed`` where a copy-only rewrite of *image* ends as it does, with the same output and system calls;
    ``undetermined``, with the reason, where that cannot be said.  RefusedError where it differs."""
    try:
        made = rewriters.rewrite(image, mode, COPY_ONLY.name, Policy.RECORD, leaves)
    except RefusedError as error:
        return f"undetermined: {str(error).removeprefix(f'{image.path}: ')}"
    copy = parse_image(made.data, image.path)
    if process is not None and (by := way_home(image)):
        image, copy = rebased(image, by), rebased(copy, by)
    before, after = (count(one, None, limits, process).outcome for one in (image, copy))
    if before.end is End.BUDGET:
        return f"undetermined: the original did not end within {before.detail}"
    if before.result != after.result:
        raise RefusedError(f"{image.path}: copied by '{mode}' alone, its result is {after.result}, not {before.result}")
    if before.trace and after.trace and (difference := before.trace.difference(after.trace)):
        raise RefusedError(f"{image.path}: copied by '{mode}' alone: {difference}")
    return "passed"
