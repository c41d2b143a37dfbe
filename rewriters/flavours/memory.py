"""memory: the pointer lives in a memory cell.  The strictest flavour: any imbalance shows.

Source: the traditional shadow stack of Dang, Maniatis, Wagner 2015, with a global instead of a segment register.
"""

from lab.layout import Flavour, Policy
from rewriters.flavours.api import A64_TRAP, X86_TRAP, FlavourSpec

_A64_CELL = "@adrp {s0}; ldr {s1}, [{s0}{lo}]; "
_A64_STORE = "str {s1}, [{s0}{lo}] !"

FLAVOUR = FlavourSpec(
    name="memory",
    title="pointer in a memory cell",
    reach=Flavour.MEMORY,
    push={
        "aarch64": _A64_CELL + "str x30, [{s1}], #8; " + _A64_STORE,
        "x86_64": "@load {s0}; push qword ptr [rsp]; pop qword ptr [{s0}]; @add 8 !",
    },
    pop={
        "aarch64": {
            Policy.RECORD: _A64_CELL + "sub {s1}, {s1}, #8; " + _A64_STORE,
            Policy.USE: _A64_CELL + "ldr {lr}, [{s1}, #-8]!; " + _A64_STORE,
            Policy.CHECK: _A64_CELL + "ldr {s0}, [{s1}, #-8]!; " + A64_TRAP + "; @adrp {s0}; " + _A64_STORE,
        },
        "x86_64": {
            Policy.RECORD: "@sub 8 !",
            Policy.USE: "@load {s0}; push qword ptr [{s0} - 8]; pop qword ptr [rsp]; @sub 8 !",
            Policy.CHECK: "@load {s0}; mov {s0}, qword ptr [{s0} - 8]; " + X86_TRAP + "; @sub 8 !",
        },
    },
)
