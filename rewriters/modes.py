"""Which combinations exist at all.  Imports nothing heavy: the command line asks this for its help."""

from __future__ import annotations

from lab.arch import Arch
from lab.layout import Flavour

#: Names of the rewriters.
MODES: tuple[str, ...] = ("pac", "xray")


def unsupported_reason(arch: Arch, mode: str, flavour: Flavour) -> str | None:
    """Why *mode* with *flavour* does not exist on *arch* (for any image), or None if it does."""
    if mode not in MODES:
        return f"unknown rewriter '{mode}'; known: {', '.join(MODES)}"
    if mode == "pac" and arch.lr is None:
        return f"{arch.title} has no pointer-authentication instructions to fill"
    if flavour is Flavour.REGISTER and arch.shadow_register is None:
        return (
            f"{arch.title} has no register to reserve for a shadow stack: the ABI gives every one of its 16 a use, and "
            "reserving r15 (callee-saved) costs more than the shadow stack and breaks code built without it"
        )
    return None
