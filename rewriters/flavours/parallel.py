"""parallel: each return address at a constant distance below its own place; no pointer at all.

Source: Dang, Maniatis, Wagner, "The Performance Cost of Shadow Stacks and Stack Canaries", 2015.  The record pop
is empty: nothing needs undoing, and what earlier, deeper calls left stays behind for a reader to trip over.
"""

from lab.layout import Flavour, Policy
from rewriters.flavours.api import A64_TRAP, X86_TRAP, FlavourSpec

_A64_SLOT = "sub {s0}, sp, #0xc00, lsl #12; "

FLAVOUR = FlavourSpec(
    name="parallel",
    title="at a constant distance below the stack",
    reach=Flavour.PARALLEL,
    push={
        "aarch64": _A64_SLOT + "str x30, [{s0}] !",
        "x86_64": "push qword ptr [rsp]; pop qword ptr [rsp - 0xc00000] !",
    },
    pop={
        "aarch64": {
            Policy.RECORD: "",
            Policy.USE: _A64_SLOT + "ldr {lr}, [{s0}] !",
            Policy.CHECK: _A64_SLOT + "ldr {s0}, [{s0}] !; " + A64_TRAP,
        },
        "x86_64": {
            Policy.RECORD: "",
            Policy.USE: "push qword ptr [rsp - 0xc00000]; pop qword ptr [rsp] !",
            Policy.CHECK: "mov {s0}, qword ptr [rsp - 0xc00000] !; " + X86_TRAP,
        },
    },
)
