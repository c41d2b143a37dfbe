"""AArch64 programs whose innermost function does something odd to frames (see tests.engine.smash_forms).

x19 = a record, x20 and x21 = its true words, x24 = ``buffer``, x25 and x26 free; ``walk(n)`` moves x19 to the record
n levels up.
"""

from __future__ import annotations

from tests.engine.smash_aarch64 import DIALECT
from tests.engine.smash_forms import DEPTH, LEVELS, SLOTS

_CALL = " nop\n bl probe\n nop\n"
_COPY = """
 mov x9, #0
5: ldr x10, [{source}, x9]
 str x10, [{target}, x9]
 add x9, x9, #8
 cmp x9, x25
 b.ne 5b
"""
#: The level of the task's FINAL record: smash is 0, then ``deep``, then test_main.
FINAL = DEPTH + 2


def walk(level: int) -> str:
    """x19 becomes the record *level* levels up."""
    return DIALECT.walk.replace("{level}", str(level))


def _zeroing() -> str:
    """``dc zva`` zeroes the whole block (64 bytes in unicorn) around a record."""
    text = " mrs x9, dczid_el0\n and x9, x9, #15\n mov x10, #4\n lsl x25, x10, x9\n sub x12, x25, #1\n"
    for level in LEVELS:
        text += walk(level) + " bic x26, x19, x12\n" + _COPY.format(source="x26", target="x24")
        text += " dc zva, x19\nHIT\n nop\n nop\n" + _COPY.format(source="x24", target="x26") + "HEAL\n" + _CALL
    return text


def _stale() -> str:
    """Stores that change nothing the walk reads: the same value, left records, below SP, failed atomics."""
    text = ""
    for level in LEVELS:
        text += walk(level) + " stp x20, x21, [x19]\nSAME\n" + _CALL
        text += " mov x12, #7\n clrex\n stxr w10, x12, [x19]\nSAME\n" + _CALL
        text += " mov x9, #5\n cas x9, x12, [x19]\nSAME\n" + _CALL
        text += " ldadd xzr, x9, [x19]\nSAME\n ldset xzr, x9, [x19]\nSAME\n swp x20, x9, [x19]\nSAME\n" + _CALL
        for byte in range(8):
            text += f" lsr x9, x21, #{8 * byte}\n strb w9, [x19, #8 + {byte}]\nSAME\n"
    # probe's record lies directly below this frame: written after it was left.
    text += _CALL + " str x19, [sp, #-16]\nSAME\n stp xzr, xzr, [sp, #-16]\nSAME\n str x9, [sp, #-8]\nSAME\n"
    text += " sub x10, sp, #512\n mov x9, #60\n5: str x9, [x10], #8\n subs x9, x9, #1\n b.ne 5b\nSAME\n" + _CALL
    return text + " str x9, [x24]\nSAME\n str x9, [sp, #80]\nSAME\n" + _CALL


def _signature() -> str:
    """The bits of a return address that pointer authentication may set do not count; bit 55 does."""
    text = ""
    for level in LEVELS:
        text += (
            walk(level) + " mov x9, #0x00ff000000000000\n eor x10, x21, x9, lsl #8\n str x10, [x19, #8]\nSAME\n" + _CALL
        )
        text += " eor x10, x21, #0x007f000000000000\n str x10, [x19, #8]\nSAME\n" + _CALL
        text += " eor x10, x21, #0x0080000000000000\n str x10, [x19, #8]\nHIT\n" + _CALL
        text += " str x21, [x19, #8]\nHEAL\n" + _CALL
    return text


def _elsewhere() -> str:
    """FP points at everything but a record, and at good copies of one."""
    # Into data, text, nothing, the kernel's half; off by some bytes; below SP (pt_regs and poison); the stack's ends.
    values = ["x24", "xzr", "x30", "#-1", "#0x8000000000000000", "#0x10", "#0x7fe0000000", "#0x7ff0000000"]
    places = [f" mov x29, {value}" for value in values]
    places += [f" add x29, x25, #{n}" for n in (1, 4, 7, 8, 16, 88)]
    places += [f" sub x29, sp, #{n}" for n in (1, 4, 8, 16, 24, 32, 40, 48, 328, 336, 344, 352, 4000)]
    places += [f" mov x29, #0x7ff0000000\n sub x29, x29, #{n}" for n in (4, 8, 16, 24, 32, 128)]
    places += [
        " adr x29, smash",
        " movz x29, #0x7fef, lsl #16\n movk x29, #0x7f, lsl #32",
        " movz x29, #0x7ff0, lsl #16",
    ]
    text = " mov x25, x29\n stp x29, x30, [x24]\n"
    for place in places:
        text += f"{place}\nHIT\n{_CALL} mov x29, x25\nHEAL\n nop\n"
    text += " ldp x9, x10, [x25]\n sub sp, sp, #64\n stp x9, x10, [sp, #16]\n add x29, sp, #16\nSAME\n" + _CALL
    text += " str xzr, [x25]\nSAME\n str x9, [sp, #24]\nHIT\n" + _CALL + " str x10, [sp, #24]\nHEAL\n" + _CALL
    return text + " str x9, [x25]\nSAME\n mov x29, x25\nSAME\n add sp, sp, #64\nSAME\n" + _CALL


def _chain() -> str:
    """The chain loops, goes back, skips frames, ends early in metadata records, or has two records exchanged."""
    text = ""
    for level in (0, 1, 5, 20):
        text += walk(level)
        for target in (
            " mov x9, x19",
            " mov x9, sp",
            " sub x9, sp, #32",
            " ldr x9, [x19]\n ldr x9, [x9]",
            " add x9, x19, #8",
        ):
            text += f"{target}\n str x9, [x19]\nHIT\n{_CALL} str x20, [x19]\nHEAL\n{_CALL}"
        for kind in (0, 1, 2, 3):
            text += f" ldr x12, [x19, #16]\n mov x13, #{kind}\n str x13, [x19, #16]\nSAME\n"
            text += " stp xzr, xzr, [x19]\nHIT\n" + _CALL
            text += " str x21, [x19, #8]\nHIT\n str x20, [x19]\nHEAL\n str x12, [x19, #16]\nSAME\n" + _CALL
        seen = "SAME" if level else "HIT"  # all calls of ``deep`` but the first have the same return address
        text += f" ldp x12, x13, [x20]\n stp x20, x13, [x19]\n{seen}\n stp x12, x21, [x20]\n{seen}\n" + _CALL
        text += f" str x21, [x19, #8]\n{seen}\n str x13, [x20, #8]\nHEAL\n" + _CALL
    return text


def _final() -> str:
    """The task's FINAL record: only its type tells fp-reliable that the stack ends well."""
    text = walk(FINAL) + " mov x13, #1\n"
    for kind in (0, 3, 257):
        text += f" mov x12, #{kind}\n str x12, [x19, #16]\nSAME\n{_CALL} strh w13, [x19, #16]\nSAME\n{_CALL}"
    for slot in SLOTS:
        text += f" strb w13, [x19, #{slot} + 5]\nHIT\n{_CALL} strb wzr, [x19, #{slot} + 5]\nHEAL\n{_CALL}"
    text += " mov x12, #2\n str x12, [x19, #16]\nHIT\n" + _CALL + " str x13, [x19, #16]\nHEAL\n" + _CALL
    return text


def _sweep() -> str:
    """One store instruction meets data, padding, saved registers and records in turn, and again on the way back."""
    text = " mov x12, sp\n mov x13, #0\n5: ldr x9, [x12, x13]\n mvn x10, x9\n str x10, [x12, x13]\n nop\n"
    text += " str x9, [x12, x13]\n nop\n add x13, x13, #8\n cmp x13, #640\n b.ne 5b\nSAME\n"
    text += " mov x14, #80\n5: add x13, x12, x14, lsl #3\n ldrb w9, [x13, #-5]!\n mvn w10, w9\n strb w10, [x13]\n nop\n"
    return text + " strb w9, [x13]\n subs x14, x14, #1\n b.ne 5b\nSAME\n" + _CALL


def _toggle() -> str:
    """Smashed and restored by neighbouring instructions, in a loop, under and not under a condition."""
    text = walk(5) + " mov x13, #12\n5: str xzr, [x19, #8]\nHIT\n str x21, [x19, #8]\nHEAL\n stp xzr, x21, [x19]\nHIT\n"
    text += " tbz x13, #0, 6f\n bl probe\n6: str x20, [x19]\nHEAL\n tbz x13, #1, 7f\n strb wzr, [x19, #9]\n7: nop\n"
    return text + " str x21, [x19, #8]\nHEAL\n subs x13, x13, #1\n b.ne 5b\nSAME\n" + _CALL


def _over() -> str:
    """SP moves up into this frame: a store-pair and a call write over the live record."""
    text = " mov x25, sp\n ldp x20, x21, [x29]\n ldp x12, x13, [sp, #16]\n"
    text += " add sp, x29, #16\n stp x24, x21, [sp, #-16]!\nHIT\n nop\n str x20, [sp]\nHEAL\n" + _CALL
    text += " add sp, x29, #16\n mov x19, x30\n bl probe\n mov sp, x25\nHIT\n nop\n stp x20, x21, [x29]\nHEAL\n" + _CALL
    text += " add sp, x29, #16\n mov x0, #3\n bl deepest\n mov sp, x25\nHIT\n nop\n"
    return text + " str x20, [x29]\n str x21, [x29, #8]\nHEAL\n" + _CALL


def _clobber() -> str:
    """FP, and LR, are used as ordinary registers; calls are made meanwhile."""
    text = " mov x25, x29\n mov x29, #1000\n5: sub x29, x29, #100\n add x9, sp, x29\nHIT\n"
    text += " cbnz x29, 5b\n bl probe\n mov x29, x25\nHEAL\n"
    text += " mov x30, #77\nSAME\n add x30, x30, x30\n eor x29, x29, x30\nHIT\n eor x29, x29, x30\nHEAL\n" + _CALL
    return text + " sub x29, sp, x29\nHIT\n bl probe\n sub x29, sp, x29\nHEAL\n" + _CALL


_DEEPEST = """
 .text
FUNC deepest
 stp x29, x30, [sp, #-16]!
 subs x0, x0, #1
 b.eq 1f
 bl deepest
1: ldp x29, x30, [sp], #16
 ret
END deepest
"""

#: Name -> what ``smash`` does.
INSIDE = {
    "zeroing": _zeroing(),
    "stale": _stale(),
    "signature": _signature(),
    "elsewhere": _elsewhere(),
    "chain": _chain(),
    "final": _final(),
    "sweep": _sweep(),
    "toggle": _toggle(),
    "over": _over(),
    "clobber": _clobber(),
}
EXTRA = _DEEPEST
