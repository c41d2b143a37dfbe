"""Dynamic shadow call stack: the compiler's paciasp/autiasp become push and pop (Linux v6.13 patch-scs.c).

``pac`` alone is the same image unfilled: return addresses are really signed.  -ffixed-x18 is given to every
PAC image, so that filled and unfilled images differ by the fill alone.
"""

from lab.layout import Flavour, Policy
from lab.proposals.api import Proposal, Rewrite

FLAGS = {"aarch64": ("-mbranch-protection=pac-ret", "-ffixed-x18")}
ABSENT = "x86-64 has no return-address signing instructions to fill"

PROPOSALS = (
    Proposal("pac", "pac-ret as compiled: return addresses signed", FLAGS, None, ("aarch64",), ABSENT),
    *(
        Proposal(
            f"pac-{flavour.value}-{policy.value}",
            f"paciasp/autiasp filled: {flavour.value} shadow stack, {policy.value}",
            FLAGS,
            Rewrite("pac", flavour, policy),
            ("aarch64",),
            ABSENT,
        )
        for flavour in Flavour
        for policy in Policy
    ),
)
