"""What a written test file calls: the program is built, run, and one stop looked at."""

from __future__ import annotations

from lab import registry
from lab.errors import InputError
from lab.machine.machine import Limits
from lab.shrink.hunt import Found, Hunt, Hunter
from lab.shrink.program import Program


def replay(program: Program, unwinder: str, mode: str, location: str, hit: int = 1) -> Found:
    """What *unwinder* says at the *hit*-th *mode* stop at *location* (``function+0x10``) of *program*, and the truth.

    InputError where the place is not reached: another compiler may have made other code of the source.
    """
    limits = Limits()
    image, rewrite = program.image(limits)
    hunt = Hunt(registry.unwinder(unwinder), mode, limits, program.injection, location=location, hit=hit)
    found, outcome = Hunter(image, rewrite, hunt).seek()
    if found is None:
        ended = f"{outcome.end.value} {outcome.detail}".strip()
        raise InputError(
            f"{image.path}: no {mode} stop {hit} at {location} ({ended}); was it built by another compiler than the "
            "file names?"
        )
    return found
