"""Shadow stacks put into any image by analysis: nothing is asked of the compiler but, for ``register``, x18.

``-nonleaf`` leaves functions alone that never let go of their return address, as compilers' own shadow call stacks do.
"""

from lab.arch import ARCHES
from lab.layout import Leaves, Policy
from lab.proposals.api import Proposal, Rewrite
from rewriters import ANALYSED, all_flavours, unsupported_reason
from rewriters.flavours import FlavourSpec

_TITLES = {Leaves.ALL: "", Leaves.SKIP: ", leaves skipped"}
_SUFFIXES = {Leaves.ALL: "", Leaves.SKIP: "-nonleaf"}


def _proposal(mode: str, spec: FlavourSpec, policy: Policy, leaves: Leaves) -> Proposal:
    reasons = {arch.name: unsupported_reason(arch, mode, spec.name, policy) for arch in ARCHES}
    return Proposal(
        f"{mode}-{spec.name}-{policy.value}{_SUFFIXES[leaves]}",
        f"{mode}: {spec.name} shadow stack, {policy.value}{_TITLES[leaves]}",
        {"aarch64": ("-ffixed-x18",)} if spec.name == "register" else {},
        Rewrite(mode, spec.name, policy, leaves),
        tuple(name for name, reason in reasons.items() if reason is None),
        next((reason for reason in reasons.values() if reason), ""),
    )


PROPOSALS = tuple(
    _proposal(mode, spec, policy, leaves)
    for mode in ANALYSED
    for spec in all_flavours()
    for policy in Policy
    for leaves in Leaves
    # The compilers' own schemes, which skip leaves, return through the shadow stack: the others need no such twin.
    if any(policy in pops for pops in spec.pop.values()) and (leaves is Leaves.ALL or policy is Policy.USE)
)
