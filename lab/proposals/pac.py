"""Dynamic shadow call stack: the compiler's paciasp/autiasp become push and pop (Linux v6.13 patch-scs.c).

``pac`` alone is the same image unfilled: return addresses are really signed.  -ffixed-x18 is given to every
PAC image, so that filled and unfilled images differ by the fill alone.
"""

from lab.proposals.api import Proposal, Rewrite
from rewriters import all_flavours

FLAGS = {"aarch64": ("-mbranch-protection=pac-ret", "-ffixed-x18")}
ABSENT = "x86-64 has no return-address signing instructions to fill"

PROPOSALS = (
    Proposal("pac", "pac-ret as compiled: return addresses signed", FLAGS, None, ("aarch64",), ABSENT),
    *(
        Proposal(
            f"pac-{spec.name}-{policy.value}",
            f"paciasp/autiasp filled: {spec.name} shadow stack, {policy.value}",
            FLAGS,
            Rewrite("pac", spec.name, policy),
            ("aarch64",),
            ABSENT,
        )
        for spec in all_flavours()
        for policy in spec.pop.get("aarch64", ())
    ),
)
