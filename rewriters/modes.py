"""Which combinations exist at all.  Imports nothing heavy: the command line asks this for its help."""

from __future__ import annotations

from lab.arch import Arch
from lab.layout import Flavour, Policy
from rewriters.flavours import flavour_by_name

#: Names of the rewriters.
NOP_FILL: tuple[str, ...] = ("pac", "xray")  # what a compiler left is filled
ANALYSED: tuple[str, ...] = ("detour", "insertion")  # entries and exits are found by analysis
MODES: tuple[str, ...] = NOP_FILL + ANALYSED


def unsupported_reason(arch: Arch, mode: str, flavour: str | Flavour, policy: Policy | None = None) -> str | None:
    """Why *mode* with *flavour* (and *policy*) does not exist on *arch*, for any image; None if it does."""
    if mode not in MODES:
        return f"unknown rewriter '{mode}'; known: {', '.join(MODES)}"
    if mode == "pac" and arch.lr is None:
        return f"{arch.title} has no pointer-authentication instructions to fill"
    spec = flavour_by_name(flavour)
    if spec.reach is Flavour.REGISTER and arch.shadow_register is None:
        return (
            f"{arch.title} has no register to reserve for a shadow stack: the ABI gives every one of its 16 a use, and "
            "reserving r15 (callee-saved) costs more than the shadow stack and breaks code built without it"
        )
    if arch.name not in spec.push or arch.name not in spec.pop:
        return f"the flavour {spec.name} has no sequences for {arch.title}"
    if policy is not None and policy not in spec.pop[arch.name]:
        return f"the flavour {spec.name} has no '{policy.value}' sequence for {arch.title}"
    return None
