"""A rewrite that changes nothing: everything a mode does to an image, with sequences that do nothing.

What differs between such an image and the original is the mode's own doing: carried code, moved bodies, jumps, tables,
unwind information.  The sequences are moves of a register to itself, one for the push and another for the pop, so that
the checks can tell them apart.  No user is offered it: it protects nothing.
"""

from __future__ import annotations

from lab.layout import Flavour, Policy
from rewriters.flavours.api import FlavourSpec

COPY_ONLY = FlavourSpec(
    name="copy-only",
    title="nothing at all",
    reach=Flavour.PARALLEL,
    push={"aarch64": "mov x17, x17 !", "x86_64": "mov r10, r10 !"},
    pop={"aarch64": {Policy.RECORD: "mov x16, x16 !"}, "x86_64": {Policy.RECORD: "mov r11, r11 !"}},
)
