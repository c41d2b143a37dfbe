"""Compiler-reserved NOPs filled by a tool, the 2021 thread's idea, with XRay's sleds as the NOPs.

``xray`` alone is the same image unfilled.  Every function gets sleds (threshold 1), leaves included.
"""

from lab.arch import ARCHES
from lab.layout import Policy
from lab.proposals.api import Proposal, Rewrite
from rewriters import all_flavours, unsupported_reason
from rewriters.flavours import FlavourSpec

LACKING = {"gcc": "gcc has no XRay sleds (-fxray-instrument is clang's)"}
FLAGS = {"": ("-fxray-instrument", "-fxray-instruction-threshold=1"), "aarch64": ("-ffixed-x18",)}


def _proposal(spec: FlavourSpec, policy: Policy) -> Proposal:
    reasons = {arch.name: unsupported_reason(arch, "xray", spec.name, policy) for arch in ARCHES}
    return Proposal(
        f"xray-{spec.name}-{policy.value}",
        f"XRay sleds filled: {spec.name} shadow stack, {policy.value}",
        FLAGS,
        Rewrite("xray", spec.name, policy),
        tuple(name for name, reason in reasons.items() if reason is None),
        next((reason for reason in reasons.values() if reason), ""),
        lacking=LACKING,
    )


PROPOSALS = (
    Proposal("xray", "XRay sleds as compiled: NOPs, unfilled", FLAGS, lacking=LACKING),
    *(
        _proposal(spec, policy)
        for spec in all_flavours()
        for policy in Policy
        if any(policy in pops for pops in spec.pop.values())
    ),
)
