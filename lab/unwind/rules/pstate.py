"""pstate: refuses where a saved processor state says that the kernel itself was interrupted.

Equation, for a pt_regs met by the frame records: refused if pstate.M[3:0] != EL0t (arm64), cs & 3 = 0 (x86-64); both
are the word after the saved pc.  A ``boundary`` stop interrupts the kernel by definition.  A pt_regs that
came from user mode is passed: no kernel function was in its middle.

Source: the 2021 thread "[RFC PATCH 0/3] arm64: Implement reliable stack trace" ("can we deduce this from
ptregs->pstate?"); Linux v6.13 arch/arm64/include/asm/ptrace.h and arch/x86/include/asm/ptrace.h (user_mode).
"""

from __future__ import annotations

from lab.unwind.api import BOUNDARY, FRAME, GOES_ON, Cursor, Mem, Reason, Regs, load64
from lab.unwind.rules.api import Rule
from lab.unwind.rules.chain import passed, pt_regs

MODE_MASK = 15
"""PSTATE.M[3:0]; EL0t is 0."""


def begin(mode: int, pc: int, regs: Regs) -> Cursor:
    """(frame record, lowest address not yet passed, 1 at an interrupted instruction, record that was refused)."""
    return regs.fp, regs.sp, (1 if mode == BOUNDARY else 0), 0


def before(mem: Mem, words: Cursor) -> tuple[int, Cursor]:
    """Looks at the state that was saved with the record at hand."""
    fp, low, interrupted, waived = words
    if interrupted:
        return Reason.EXCEPTION | GOES_ON, (fp, low, 0, waived)
    regs = pt_regs(mem, fp, low)
    if regs in (0, waived):
        return 0, words
    state = load64(mem, regs + mem.regs_pc_offset + 8)
    from_kernel = state & 3 == 0 if mem.metadata_offset == 0 else state & MODE_MASK != 0
    if from_kernel:
        return Reason.EXCEPTION | GOES_ON, (fp, low, 0, regs)
    return 0, words


def after(mem: Mem, words: Cursor, status: int, ra: int) -> tuple[int, Cursor]:
    """Follows the records."""
    fp, low, interrupted, waived = words
    if status == FRAME:
        fp, low = passed(mem, fp, low, ra)
    return status, (fp, low, interrupted, waived)


RULE = Rule("pstate", "no interrupted kernel, by saved pstate", "2021 RFC; ptrace.h user_mode", begin, before, after)
