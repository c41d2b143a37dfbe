"""Unwinders made to strain memoisation: what they read, when, and how their cursors come to be equal.

Nobody would propose one of them.  Most walk the frame records as ``fp`` does and do one odd thing besides.
"""

from __future__ import annotations

from collections.abc import Callable

from lab.unwind.api import (
    BOUNDARY,
    END,
    FRAME,
    GOES_ON,
    MASK64,
    Cursor,
    Mem,
    Reason,
    Regs,
    StepResult,
    Unwinder,
    load64,
    on_stack,
    strip,
)

CODE_LOW, CODE_HIGH = 0x20_0000, 0x30_0000


def good(mem: Mem, fp: int, low: int) -> bool:
    """Whether a record at *fp* may be followed."""
    return fp & 7 == 0 and fp >= low and on_stack(mem, fp, 16) and load64(mem, fp + 8) != 0


# -- what is read -------------------------------------------------------------------------------------------


def from_sp(mode: int, pc: int, regs: Regs) -> Cursor:
    return (regs.sp,)


def scan(mem: Mem, cursor: Cursor) -> StepResult:
    """Whatever on the stack looks like a return address."""
    p = cursor[0]
    while on_stack(mem, p, 8):
        value = strip(mem, load64(mem, p))
        p = p + 8
        if CODE_LOW <= value < CODE_HIGH:
            return FRAME, value, (p,)
    return END, 0, cursor


def from_fp_and_sp(mode: int, pc: int, regs: Regs) -> Cursor:
    return regs.fp, regs.sp, 0


def far(mem: Mem, cursor: Cursor) -> StepResult:
    """The first step reads [sp], [sp + 8 * 9] and [sp + 8 * 40]; later ones read far above their record."""
    fp, sp, n = cursor
    seen = 0
    if n == 0 and on_stack(mem, sp, 336):
        seen = load64(mem, sp) ^ load64(mem, sp + 72) ^ load64(mem, sp + 320)
    if not good(mem, fp, 0) or n == 60:
        return END, 0, cursor
    above = load64(mem, fp + 208) if on_stack(mem, fp, 216) else 0
    ra = strip(mem, load64(mem, fp + 8))
    if (seen ^ above) & 4:
        return FRAME, ra + 4, (load64(mem, fp), 0, n + 1)
    return FRAME, ra, (load64(mem, fp), 0, n + 1)


def below(mem: Mem, cursor: Cursor) -> StepResult:
    """The first step reports what lies below SP: at a boundary registers, pc and flags of the exception's frame."""
    fp, sp, n = cursor
    if n < 14:
        return FRAME, load64(mem, sp - 8 * n - 8), (fp, sp, n + 1)
    if n == 14:
        return FRAME, load64(mem, sp - 4) ^ load64(mem, sp - 13), (fp, sp, n + 1)
    if n == 15 and fp & 32:
        return FRAME, load64(mem, sp - 2000), (fp, sp, n + 1)
    if not good(mem, fp, sp) or n == 80:
        return END, 0, cursor
    return FRAME, strip(mem, load64(mem, fp + 8)), (load64(mem, fp), sp, n + 1)


def under_record(mem: Mem, cursor: Cursor) -> StepResult:
    """Every step reads below its record too: at some stops that is below E, at others not."""
    fp, low, n = cursor
    if not good(mem, fp, 0) or n == 60:
        return END, 0, cursor
    odd = load64(mem, fp - 40) ^ load64(mem, fp - 8)
    ra = strip(mem, load64(mem, fp + 8))
    return FRAME, ra + (odd & 1), (load64(mem, fp), 0, n + 1)


def from_fp(mode: int, pc: int, regs: Regs) -> Cursor:
    return regs.fp, 0


def unaligned(mem: Mem, cursor: Cursor) -> StepResult:
    """Reads across slots, and eight bytes of the code it returns to."""
    fp, low = cursor
    if not good(mem, fp, low):
        return END, 0, cursor
    ra = strip(mem, load64(mem, fp + 8))
    across = load64(mem, fp + 5) >> 24
    code = load64(mem, ra) if CODE_LOW <= ra < CODE_HIGH - 8 else 0
    report = ra if across & 0xFFFF == ra & 0xFFFF else ra ^ 1
    return FRAME, report ^ (code & 2), (load64(mem, fp), fp + 16)


def edges(mem: Mem, cursor: Cursor) -> StepResult:
    """Reads at both ends of the stack, where not all eight bytes are on it."""
    fp, n = cursor
    if n == 0 and good(mem, fp, 0):
        return FRAME, strip(mem, load64(mem, fp + 8)), (load64(mem, fp), 1)
    if n == 1 and fp & 16:
        return FRAME, load64(mem, mem.stack_low - 4), (fp, 2)
    if n == 1:
        return FRAME, load64(mem, mem.stack_high - 4), (fp, 2)
    return END, 0, cursor


def unmapped(mem: Mem, cursor: Cursor) -> StepResult:
    """Crashes where a record above is at an odd multiple of 32."""
    fp, low = cursor
    if not good(mem, fp, low):
        return END, 0, cursor
    beyond = load64(mem, 0x18) if load64(mem, fp) & 63 == 32 else 0
    return FRAME, strip(mem, load64(mem, fp + 8)) + beyond, (load64(mem, fp), fp + 16)


# -- the pc in cursors --------------------------------------------------------------------------------------


def pc_masked(mode: int, pc: int, regs: Regs) -> Cursor:
    return regs.fp, 0, pc & 15


def pc_itself(mode: int, pc: int, regs: Regs) -> Cursor:
    return regs.fp, 0, pc


def by_pc(mem: Mem, cursor: Cursor) -> StepResult:
    """Reports one more frame at every other pc."""
    fp, low, pc = cursor
    if pc & 4:
        return FRAME, pc, (fp, low, 0)
    if not good(mem, fp, low):
        return END, 0, cursor
    return FRAME, strip(mem, load64(mem, fp + 8)), (load64(mem, fp), fp + 16, 0)


def from_lr(mode: int, pc: int, regs: Regs) -> Cursor:
    return regs.fp, 0, regs.lr if mode == BOUNDARY else 0


def with_lr(mem: Mem, cursor: Cursor) -> StepResult:
    """The link register's value first."""
    fp, low, lr = cursor
    if lr != 0:
        return FRAME, strip(mem, lr), (fp, low, 0)
    if not good(mem, fp, low):
        return END, 0, cursor
    return FRAME, strip(mem, load64(mem, fp + 8)), (load64(mem, fp), fp + 16, 0)


def from_three(mode: int, pc: int, regs: Regs) -> Cursor:
    return regs.fp, regs.sp, regs.lr, mode


def picky(mem: Mem, cursor: Cursor) -> StepResult:
    """Looks at SP or LR only where what lies above the record, or FP itself, says so."""
    fp, sp, lr, done = cursor
    if done < 2 and good(mem, fp, 0):
        above = load64(mem, fp + 24) if on_stack(mem, fp, 32) else 0
        if above & 4 and load64(mem, sp) & 1:
            return FRAME, 7, (fp, 0, 0, 2)
        if fp & 32 and lr & 4:
            return FRAME, lr, (fp, 0, 0, 2)
    if not good(mem, fp, 0):
        return END, 0, (fp, 0, 0, 0)
    return FRAME, strip(mem, load64(mem, fp + 8)), (load64(mem, fp), 0, 0, 2)


# -- how it ends --------------------------------------------------------------------------------------------


def from_fp_counting(mode: int, pc: int, regs: Regs) -> Cursor:
    return regs.fp, 0, 0


def refuse_same(mem: Mem, cursor: Cursor) -> StepResult:
    """Refuses before every frame that lies at an odd multiple of 16, for one reason, and can go on."""
    fp, low, done = cursor
    if fp & 16 and not done:
        return Reason.FP_CONSUMED | GOES_ON, 0, (fp, low, 1)
    if not good(mem, fp, low):
        return END, 0, cursor
    return FRAME, strip(mem, load64(mem, fp + 8)), (load64(mem, fp), fp + 16, 0)


def refuse_mixed(mem: Mem, cursor: Cursor) -> StepResult:
    """The same for two reasons; and for good where a record is followed by 0."""
    fp, low, done = cursor
    if fp & 48 and not done:
        return (Reason.LR_DEAD if fp & 16 else Reason.SHADOW_EMPTY) | GOES_ON, 0, (fp, low, 1)
    if not good(mem, fp, low):
        return END, 0, cursor
    if load64(mem, fp + 16) == 0:
        return Reason.BAD_METADATA, 0, cursor
    return FRAME, strip(mem, load64(mem, fp + 8)), (load64(mem, fp), fp + 16, 0)


def too_much(mem: Mem, cursor: Cursor) -> StepResult:
    """Every frame twice, then what was never there, then a false end after seven frames."""
    fp, again, n = cursor
    if n == 14 or not good(mem, fp, 0):
        return END, 0, cursor
    ra = strip(mem, load64(mem, fp + 8))
    if again:
        return FRAME, ra if n < 9 else MASK64 - n, (load64(mem, fp), 0, n + 1)
    return FRAME, ra, (fp, 1, n + 1)


def hang(mem: Mem, cursor: Cursor) -> StepResult:
    """Refuses, can go on, and then does not come back, but only from a record at an odd multiple of 64."""
    fp, low, done = cursor
    if not done:
        return Reason.NOT_ON_SHADOW | GOES_ON, 0, (fp, low, 1)
    while True:
        if fp & 64 == 0:
            return END, 0, cursor
        fp = fp + 128


def endless(mem: Mem, cursor: Cursor) -> StepResult:
    """No end from most records; from others 4,094 to 4,097 frames; elsewhere thousands of refusals."""
    fp, refused, n = cursor
    if n == 0:
        return FRAME, 1, (fp, fp >> 3 & 7, 1)
    if refused > 5 and n < 4099 and n & 1:
        return Reason.EXCEPTION | GOES_ON, 0, (fp, refused, n + 1)
    if n == 4094 + refused:
        return END, 0, cursor
    return FRAME, n, (fp, refused, n + 1)


def wide_start(mode: int, pc: int, regs: Regs) -> Cursor:
    return 0, regs.fp, 1, 2, 3, regs.sp, 5, MASK64, 0


def wide(mem: Mem, cursor: Cursor) -> StepResult:
    """Nine words, of which the last counts frames."""
    a, fp, b, c, d, low, e, f, n = cursor
    if not good(mem, fp, low):
        return END, 0, cursor
    return FRAME, strip(mem, load64(mem, fp + 8)), (f + n + 1, load64(mem, fp), b, a, d, fp + 16, e, f, n + 1)


def _design(name: str, start: Callable[..., Cursor], step: Callable[..., StepResult]) -> Unwinder:
    return Unwinder(name, name, "made for tests", start, step)


DESIGNS = (
    _design("scan", from_sp, scan),
    _design("far", from_fp_and_sp, far),
    _design("below", from_fp_and_sp, below),
    _design("under-record", from_fp_counting, under_record),
    _design("unaligned", from_fp, unaligned),
    _design("edges", from_fp, edges),
    _design("unmapped", from_fp, unmapped),
    _design("pc-masked", pc_masked, by_pc),
    _design("pc-itself", pc_itself, by_pc),
    _design("with-lr", from_lr, with_lr),
    _design("picky", from_three, picky),
    _design("refuse-same", from_fp_counting, refuse_same),
    _design("refuse-mixed", from_fp_counting, refuse_mixed),
    _design("too-much", from_fp_counting, too_much),
    _design("wide", wide_start, wide),
)
"""Cheap enough to be walked at every stop by the reference engine."""

COSTLY = (_design("hang", from_fp_counting, hang), _design("endless", from_fp_counting, endless))
