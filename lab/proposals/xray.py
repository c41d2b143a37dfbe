"""Compiler-reserved NOPs filled by a tool, the 2021 thread's idea, with XRay's sleds as the NOPs.

``xray`` alone is the same image unfilled.  Every function gets sleds (threshold 1), leaves included.
"""

from lab.layout import Flavour, Policy
from lab.proposals.api import Proposal, Rewrite

FLAGS = {"": ("-fxray-instrument", "-fxray-instruction-threshold=1"), "aarch64": ("-ffixed-x18",)}
NO_REGISTER = "x86-64 has no register to reserve: no compiler flag keeps one free for a shadow stack"


def _proposal(flavour: Flavour, policy: Policy) -> Proposal:
    register = flavour is Flavour.REGISTER
    return Proposal(
        f"xray-{flavour.value}-{policy.value}",
        f"XRay sleds filled: {flavour.value} shadow stack, {policy.value}",
        FLAGS,
        Rewrite("xray", flavour, policy),
        ("aarch64",) if register else ("aarch64", "x86_64"),
        NO_REGISTER if register else "",
    )


PROPOSALS = (
    Proposal("xray", "XRay sleds as compiled: NOPs, unfilled", FLAGS),
    *(_proposal(flavour, policy) for flavour in Flavour for policy in Policy),
)
