"""Compilers' own shadow call stacks, the controls beside every rewrite: -fsanitize=shadow-call-stack, as Linux v6.13
builds with CONFIG_SHADOW_CALL_STACK.  clang and gcc >= 12 have it, on AArch64 (clang dropped its x86-64 one in
version 9: it could not be made safe against a race of the call's own push; gcc never had one).

Both push only in functions that save their return address, and both need -ffixed-x18.
"""

from lab.proposals.api import Proposal

FLAGS = {"aarch64": ("-fsanitize=shadow-call-stack", "-ffixed-x18")}
ABSENT = "no compiler has a shadow call stack for x86-64 (clang dropped its own in version 9)"

PROPOSALS = tuple(
    Proposal(f"scs-{name}", f"{name}'s own shadow call stack", FLAGS, None, ("aarch64",), ABSENT, compiler=name)
    for name in ("clang", "gcc")
)
