"""x86-64 programs whose innermost function does something odd to frames (see tests.engine.smash_forms).

rbx = a record, r12 and r13 = its true words, r14 free, r15 = a mask; ``walk(n)`` moves rbx to the record n levels up.
"""

from __future__ import annotations

from tests.engine.smash_forms import DEPTH, LEVELS, SLOTS
from tests.engine.smash_x86_64 import DIALECT

_CALL = " nop\n call probe\n nop\n"
#: The level of the task's FINAL record: smash is 0, then ``deep``, then test_main.
FINAL = DEPTH + 2


def walk(level: int) -> str:
    """rbx becomes the record *level* levels up."""
    return DIALECT.walk.replace("{level}", str(level))


def _copy(source: str, target: str, words: int) -> str:
    return f" lea {source}, %rsi\n lea {target}, %rdi\n mov ${words}, %ecx\n rep movsq\n"


_ONES = "".join(f" pcmpeqd %xmm{n}, %xmm{n}\n" for n in (5, 6, 7, 8))

#: Instructions that write a block -> (distance of the block below the record, its 8-byte words).
_BLOCKS = {
    " pcmpeqd %xmm5, %xmm5\n fxsave -240(%rbx)\n": (240, 64),
    " pcmpeqd %xmm5, %xmm5\n fxsave64 -240(%rbx)\n": (240, 64),
    _ONES + " mov $-1, %eax\n mov $-1, %edx\n lea -240(%rbx), %r8\n and $-64, %r8\n xsave (%r8)\n": (304, 84),
    _ONES + " mov $2, %eax\n xor %edx, %edx\n lea -240(%rbx), %r8\n and $-64, %r8\n xsaveopt (%r8)\n": (304, 84),
    " fldpi\n fnsave -30(%rbx)\n fninit\n": (32, 16),
    " fnstenv -16(%rbx)\n": (16, 8),
    " fldpi\n fbstp (%rbx)\n": (0, 2),
    " lea -32(%rbx), %rdi\n xor %eax, %eax\n mov $24, %ecx\n rep stosq\n": (32, 24),
    " lea 252(%rbx), %rdi\n mov $-1, %eax\n mov $160, %ecx\n std\n rep stosl\n cld\n": (400, 84),
    " lea buffer + 2048(%rip), %rsi\n lea -3(%rbx), %rdi\n mov $23, %ecx\n rep movsb\n": (8, 8),
}


def _blocks() -> str:
    """Instructions that write many bytes at once, records among them."""
    text = ""
    for level in LEVELS:
        text += walk(level)
        for store, (below, words) in _BLOCKS.items():
            text += _copy(f"-{below}(%rbx)", "buffer(%rip)", words) + store + "HIT\n nop\n nop\n"
            text += _copy("buffer(%rip)", f"-{below}(%rbx)", words) + "HEAL\n" + _CALL
    return text


def _stale() -> str:
    """Stores that change nothing the walk reads: the same value, left records, below SP, failed exchanges."""
    text = ""
    for level in LEVELS:
        text += walk(level) + " mov %r12, (%rbx)\n mov %r13, 8(%rbx)\nSAME\n" + _CALL
        text += " mov $5, %eax\n lock cmpxchg %r15, (%rbx)\nSAME\n cmpxchg %r15, 8(%rbx)\nSAME\n" + _CALL
        text += " xor %ecx, %ecx\n mov %rbx, %rdi\n rep stosb\nSAME\n rep stosq\nSAME\n rep movsq\nSAME\n" + _CALL
        text += " lock addq $0, (%rbx)\nSAME\n orb $0, 9(%rbx)\nSAME\n xor %eax, %eax\n xadd %rax, 8(%rbx)\nSAME\n"
        text += (
            " movdqu (%rbx), %xmm0\n movdqu %xmm0, (%rbx)\nSAME\n movups 1(%rbx), %xmm1\n movups %xmm1, 1(%rbx)\nSAME\n"
        )
        text += " push (%rbx)\n pop (%rbx)\nSAME\n xchg %rax, (%rbx)\n xchg %rax, (%rbx)\nSAME\n" + _CALL
        for byte in range(8):
            text += f" mov %r13, %rax\n shr ${8 * byte}, %rax\n mov %al, 8 + {byte}(%rbx)\nSAME\n"
    # probe's record lies directly below this frame: written after it was left.
    text += _CALL + " mov %rbx, -16(%rsp)\nSAME\n movq $0, -8(%rsp)\nSAME\n" + _CALL
    text += " lea -512(%rsp), %rdi\n mov $60, %ecx\n rep stosq\nSAME\n" + _CALL
    return text + " mov %rax, buffer(%rip)\nSAME\n movups %xmm0, 16(%rsp)\nSAME\n pushfq\nSAME\n popfq\nSAME\n" + _CALL


def _elsewhere() -> str:
    """FP points at everything but a record, and at good copies of one."""
    values = ["$0", "$-1", "$0x10", "$smash", "$buffer"]
    values += ["$0x8000000000000000", "$0x7fe0000000", "$0x7ff0000000", "$0x7feff00000", "$0x7fefe00000"]
    places = [f" movabs {value}, %rbp" for value in values]
    places += [f" lea {n}(%r14), %rbp" for n in (1, 4, 7, 8, 24)]
    places += [f" lea -{n}(%rsp), %rbp" for n in (1, 4, 8, 16, 24, 128, 136, 160, 168, 176, 4000)]
    places += [f" movabs $0x7ff0000000 - {n}, %rbp" for n in (4, 8, 16, 24, 32)]
    text = (
        " mov %rbp, %r14\n mov (%rbp), %r12\n mov 8(%rbp), %r13\n mov %r12, buffer(%rip)\n mov %r13, buffer + 8(%rip)\n"
    )
    for place in places:
        text += f"{place}\nHIT\n{_CALL} mov %r14, %rbp\nHEAL\n nop\n"
    text += " sub $64, %rsp\n mov %r12, 16(%rsp)\n mov %r13, 24(%rsp)\n lea 16(%rsp), %rbp\nSAME\n" + _CALL
    text += " movq $0, (%r14)\nSAME\n movb $3, 24(%rsp)\nHIT\n" + _CALL + " mov %r13, 24(%rsp)\nHEAL\n" + _CALL
    return text + " mov %r12, (%r14)\nSAME\n mov %r14, %rbp\nSAME\n add $64, %rsp\nSAME\n" + _CALL


def _chain() -> str:
    """The chain loops, goes back, skips frames, ends early in zero records, or has two records exchanged."""
    targets = (" mov %rbx, %rcx", " mov %rsp, %rcx", " lea -32(%rsp), %rcx", " mov (%rbx), %rcx\n mov (%rcx), %rcx")
    text = ""
    for level in (0, 1, 5, 20):
        seen = "SAME" if level else "HIT"  # all calls of ``deep`` but the first have the same return address
        text += walk(level)
        for target in (*targets, " lea 8(%rbx), %rcx"):
            text += f"{target}\n mov %rcx, (%rbx)\nHIT\n{_CALL} mov %r12, (%rbx)\nHEAL\n{_CALL}"
        text += (
            f" pxor %xmm0, %xmm0\n movups %xmm0, (%rbx)\nHIT\n{_CALL} mov %r13, 8(%rbx)\nHIT\n mov %r12, (%rbx)\nHEAL\n"
        )
        text += f"{_CALL} mov 8(%r12), %rcx\n mov %rcx, 8(%rbx)\n{seen}\n xchg %rcx, %r13\n mov %rcx, 8(%r12)\n{seen}\n"
        text += f"{_CALL} mov %rcx, 8(%rbx)\n{seen}\n mov %r13, 8(%r12)\nHEAL\n{_CALL} mov %rcx, %r13\n"
    return text


def _final() -> str:
    """The record of the outermost frame: its type is nothing to the plain walk, its zeroes are."""
    text = walk(FINAL)
    for kind in (0, 2, 257):
        text += f" movq ${kind}, 16(%rbx)\nSAME\n{_CALL} movb $1, 16(%rbx)\n movb $0, 17(%rbx)\nSAME\n{_CALL}"
    for slot in SLOTS:
        text += f" movb $1, {slot + 5}(%rbx)\nHIT\n{_CALL} movl $0, {slot + 4}(%rbx)\nHEAL\n{_CALL}"
    return text


def _sweep() -> str:
    """One store instruction meets data, padding, saved registers and records in turn, and again on the way back."""
    text = " xor %ecx, %ecx\n5: notq (%rsp, %rcx, 8)\n nop\n notq (%rsp, %rcx, 8)\n nop\n"
    text += " inc %ecx\n cmp $100, %ecx\n jne 5b\nSAME\n"
    text += " lea 797(%rsp), %rdi\n mov $100, %ecx\n std\n5: mov (%rdi), %r14b\n mov $0x5a, %al\n stosb\n nop\n"
    return text + " mov %r14b, 1(%rdi)\n nop\n sub $7, %rdi\n dec %ecx\n jne 5b\n cld\nSAME\n" + _CALL


def _toggle() -> str:
    """Smashed and restored by neighbouring instructions, in a loop, under and not under a condition."""
    text = walk(5) + " mov $12, %r14d\n5: movq $0, 8(%rbx)\nHIT\n mov %r13, 8(%rbx)\nHEAL\n movq $0, (%rbx)\nHIT\n"
    text += (
        " test $1, %r14b\n je 6f\n call probe\n6: mov %r12, (%rbx)\nHEAL\n test $2, %r14b\n je 7f\n movb $0, 9(%rbx)\n"
    )
    return text + "7: nop\n mov %r13, 8(%rbx)\nHEAL\n dec %r14d\n jne 5b\nSAME\n" + _CALL


def _over() -> str:
    """SP moves up into this frame: pushes, calls and ``enter`` write over the live record."""
    text = " mov %rsp, %r14\n mov (%rbp), %r12\n mov 8(%rbp), %r13\n"
    for over in (
        " call probe\n",
        " mov $3, %eax\n call deepest\n",
        " enter $32, $3\n leave\n",
        " enter $0, $31\n leave\n",
    ):
        text += _copy("-496(%rbp)", "buffer(%rip)", 64) + " lea 16(%rbp), %rsp\n" + over
        text += " mov %r14, %rsp\nHIT\n nop\n" + _copy("buffer(%rip)", "-496(%rbp)", 64) + "HEAL\n" + _CALL
    text += (
        " lea 16(%rbp), %rsp\n pushq $smash\nHIT\n push %rbp\nHIT\n mov %r12, (%rsp)\nHIT\n mov %r13, 8(%rsp)\nHEAL\n"
    )
    return text + " mov %r14, %rsp\nHEAL\n" + _CALL


def _segments() -> str:
    """Stores through FS and GS with a base, which WRMSR (the guest runs at level 0) and WRGSBASE set."""
    text = walk(5) + " mov $0xc0000100, %ecx\n lea -4096(%rbx), %rax\n mov %rax, %rdx\n shr $32, %rdx\n wrmsr\n"
    for slot, true in zip(SLOTS, ("r12", "r13"), strict=True):
        text += f" mov $4096 + {slot}, %r8d\n mov %r15, %fs:(%r8)\nHIT\n{_CALL} mov %{true}, %fs:(%r8)\nHEAL\n{_CALL}"
        text += f" movb $1, %fs:4099 + {slot}\nHIT\n{_CALL} mov %{true}, {slot}(%rbx)\nHEAL\n{_CALL}"
        text += f" mov $1000, %ecx\n lea -8008(%rbx), %rdx\n wrgsbase %rdx\n movw $1, %gs:10 + {slot}(, %rcx, 8)\nHIT\n"
        text += f"{_CALL} mov %{true}, %gs:8008 + {slot}\nHEAL\n{_CALL}"
    return text


def _clobber() -> str:
    """FP is used as an ordinary register; calls are made meanwhile."""
    text = " mov %rbp, %r14\n mov $1000, %ebp\n5: sub $100, %rbp\n lea (%rsp, %rbp), %rax\nHIT\n"
    text += " jne 5b\n call probe\n mov %r14, %rbp\nHEAL\n"
    text += " xor %r15, %rbp\nHIT\n call probe\nHIT\n xor %r15, %rbp\nHEAL\n"
    text += " xchg %rbp, %rax\nHIT\n nop\n xchg %rbp, %rax\nHEAL\n"
    return text + " lea -4096(%rbp), %rbp\nHIT\n" + _CALL + " add $4096, %rbp\nHEAL\n" + _CALL


EXTRA = """
 .text
FUNC deepest
 push %rbp
 dec %eax
 je 1f
 call deepest
1: pop %rbp
 ret
END deepest
"""

#: Name -> what ``smash`` does.
INSIDE = {
    "blocks": _blocks(),
    "stale": _stale(),
    "elsewhere": _elsewhere(),
    "chain": _chain(),
    "final": _final(),
    "sweep": _sweep(),
    "toggle": _toggle(),
    "over": _over(),
    "segments": _segments(),
    "clobber": _clobber(),
}
