"""The commented start that ``unwindlab new`` writes: one file with one of each part, which runs as it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lab.arch import ARCHES, arch_by_name
from lab.errors import InputError

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")

_HEAD = '''"""@NAME@: say here what it is, and its equation.

    unwindlab run @FILE@                    runs EXPERIMENT, at the end
    unwindlab run @FILE@ --mode call        options are laid over it
    unwindlab list                              names of workloads, rules, other unwinders

Keep the parts you need and delete the others.  Names in tables come from the parts' own names.
"""

from lab.layout import Flavour, Policy
from lab.proposals.api import Proposal, Rewrite
from lab.unwind.api import BOUNDARY, END, FRAME, GOES_ON, Reason, Unwinder, load64, on_stack, strip
from lab.unwind.rules.api import Rule
from rewriters.flavours.api import FlavourSpec

# -- an unwinder ---------------------------------------------------------------------------------------------
# Two plain functions over unsigned 64-bit integers, compiled for the run.  All state is in the cursor, a tuple of
# integers.  status: FRAME (ra is one more return address), END, or a Reason: refused.  Reason | GOES_ON says that
# the walk can go on from the returned cursor; the lab then sees whether the refusal was needless.


def start(mode, pc, regs):
    """(link register to report first, 0 for none; frame record; lowest address not yet passed)."""
    return (regs.lr if mode == BOUNDARY else 0), regs.fp, regs.sp


def step(mem, cursor):
    """One frame.  mem has load64, on_stack, strip, where, ... (lab/unwind/api.py) and facts such as mem.stack_high."""
    lr, fp, low = cursor
    if lr != 0:
        return FRAME, strip(mem, lr), (0, fp, low)
    if fp & 7 or fp < low or not on_stack(mem, fp, 16):
        return Reason.FP_OFF_STACK, 0, cursor
    if load64(mem, fp + 8) == 0:
        return END, 0, cursor
    return FRAME, strip(mem, load64(mem, fp + 8)), (0, load64(mem, fp), fp + 16)


UNWINDER = Unwinder("@NAME@", "LR first, then frame records", "where it comes from", start, step)

# -- a rule: refuses on top of any unwinder, as in fp+@NAME@-rule --------------------------------------------


def begin(mode, pc, regs):
    """What the rule remembers: (frame pointer, stack pointer); (0, 0) once it has had its say."""
    return regs.fp, regs.sp


def before(mem, words):
    """Asked before each step: 0, or a Reason.  A function after(mem, words, status, ra) may look at what it said."""
    fp, sp = words
    if fp < sp:
        return Reason.FP_OFF_STACK | GOES_ON, (0, 0)
    return 0, (0, 0)


RULE = Rule("@NAME@-rule", "the frame record lies above SP", "where it comes from", begin, before)

# -- a shadow stack: sequences as assembly text --------------------------------------------------------------
# In capstone's spelling, {s0} a dead register, ' !' behind the instruction after which the entry is on (or off).
# Assembled, and refused if it reads back as anything else.  rewriters/flavours/api.py has the rest.

FLAVOUR = FlavourSpec(
    name="@NAME@-shadow",
    title="parallel, cleared by the pop",
    reach=Flavour.PARALLEL,
    push={
@PUSH@    },
    pop={
@POP@    },
)

# -- proposals: compiler flags, and a rewrite with the sequences above ----------------------------------------

PROPOSALS = (
    Proposal("@NAME@-flags", "the same, with leaf frames", flags={"aarch64": ("-mno-omit-leaf-frame-pointer",)}),
    Proposal(
        "@NAME@-shadow",
        "XRay sleds filled with the sequences above",
        flags={"": ("-fxray-instrument", "-fxray-instruction-threshold=1")},
        rewrite=Rewrite("xray", "@NAME@-shadow", Policy.RECORD),
    ),
)

# -- what `unwindlab run @FILE@` does without options -----------------------------------------------------

EXPERIMENT = {
    "arches": [@ARCHES@],
    "workloads": ["tailcall"],
    "proposals": ["base", "@NAME@-flags", "@NAME@-shadow"],
    "unwinders": ["fp", "fp+@NAME@-rule", "@NAME@", "scs-lr"],
    "modes": ["boundary", "call"],
    "size": "small",
}
'''
_SLOT = "sub {s0}, sp, #0xc00, lsl #12; "
_PUSH = {
    "aarch64": _SLOT + "str x30, [{s0}] !",
    "x86_64": "push qword ptr [rsp]; pop qword ptr [rsp - 0xc00000] !",
}
_POP = {
    "aarch64": _SLOT + "str xzr, [{s0}] !",
    "x86_64": "mov qword ptr [rsp - 0xc00000], 0 !",
}


def start_text(name: str, arches: Sequence[str] = ()) -> str:
    """The text of ``NAME.py`` for *arches* (names or aliases; none: all).  InputError for a name that is none."""
    if not _NAME.fullmatch(name):
        raise InputError(f"'{name}': a name is lower-case letters, digits and -, and begins with a letter")
    chosen = [arch_by_name(arch).name for arch in arches] or [arch.name for arch in ARCHES]
    chosen = list(dict.fromkeys(chosen))
    lines = {
        "@PUSH@": "".join(f'        "{arch}": "{_PUSH[arch]}",\n' for arch in chosen),
        "@POP@": "".join(f'        "{arch}": {{Policy.RECORD: "{_POP[arch]}"}},\n' for arch in chosen),
        "@ARCHES@": ", ".join(f'"{arch}"' for arch in chosen),
        "@FILE@": file_name(name),
        "@NAME@": name,
    }
    text = _HEAD
    for mark, value in lines.items():
        text = text.replace(mark, value)
    return text


def file_name(name: str) -> str:
    """The file of the proposal called *name*."""
    return name.replace("-", "_") + ".py"
