"""What random programs are made of: instruction templates per architecture (see tests.engine.random_programs).

{off} is an offset from SP, {fp} the same place from a valid FP; x9 / rax is the value to store, q0 / xmm0 the wide
one; {kept} names 16 bytes of data, {n} a number, {label} a fresh local label, {target} a function.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Texts:
    """One architecture's templates; instructions are separated by semicolons.

    ``stores`` maps a width in bytes to forms, ``fp_stores`` likewise for forms that use FP as base.
    ``step`` is what a frame's size is a multiple of; ``above`` the bytes that are surely there above the
    frame of test_main's caller.
    """

    values: tuple[str, ...]
    stores: dict[int, tuple[str, ...]]
    fp_stores: dict[int, tuple[str, ...]]
    save: str
    restores: tuple[str, ...]
    fp_values: tuple[str, ...]
    save_fp: str
    restore_fp: str
    fillers: tuple[str, ...]
    call: str
    loop: tuple[str, str]
    recursion: str
    depth: str
    record: tuple[str, str]
    bare: tuple[str, str]
    zero: str
    step: int
    pushed: int


_A64_AT = "add x10, sp, #{off}; "
_A64_KEPT = "adrp x11, {kept}; add x11, x11, :lo12:{kept}; "

A64 = Texts(
    values=(
        "mov x9, sp",
        "mov x9, #0",
        "mov x9, #-1",
        "adr x9, test_main",
        "mov x9, x29",
        "add x9, sp, #{n} * 8",
        "movz x9, #{n}00; movk x9, #{n}1, lsl #16; movk x9, #{n}2, lsl #48",
    ),
    stores={
        1: (_A64_AT + "strb w9, [x10]", "strb w9, [sp, #{off}]", "mov w10, #{off}; strb w9, [sp, w10, uxtw]"),
        2: (_A64_AT + "strh w9, [x10]", _A64_AT + "add x10, x10, #6; strh w9, [x10, #-6]!"),
        4: (_A64_AT + "str w9, [x10], #4", "mov w11, #-12; add x10, sp, #12 + {off}; str w9, [x10, w11, sxtw]"),
        8: (
            _A64_AT + "str x9, [x10]",
            _A64_AT + "stur x9, [x10]",
            _A64_AT + "fmov d0, x9; str d0, [x10], #-8",
            "mov x10, #{off}; str x9, [sp, x10]",
            _A64_AT + "stp w9, w9, [x10]",
            _A64_AT + "fmov d0, x9; st1 {{v0.8b}}, [x10]",
        ),
        16: (
            _A64_AT + "stp x9, x9, [x10]",
            _A64_AT + "dup v0.2d, x9; str q0, [x10]",
            _A64_AT + "dup v0.2d, x9; st1 {{v0.16b}}, [x10]",
            _A64_AT + "sub x10, x10, #48; stp x9, xzr, [x10, #48]!",
        ),
    },
    fp_stores={
        1: ("add x10, x29, #{fp}; strb w9, [x10]",),
        2: ("add x10, x29, #{fp}; strh w9, [x10]",),
        4: ("mov x10, #{fp}; str w9, [x29, x10]",),
        8: ("mov w10, #{fp}; str x9, [x29, w10, sxtw]",),
        16: ("add x10, x29, #{fp}; stp xzr, x9, [x10]",),
    },
    save=_A64_AT + _A64_KEPT + "ldr q7, [x10]; str q7, [x11]",
    restores=(
        _A64_AT + _A64_KEPT + "ldr q7, [x11]; str q7, [x10]",
        _A64_AT + _A64_KEPT + "ldp x12, x13, [x11]; stp x12, x13, [x10]",
        _A64_AT
        + _A64_KEPT
        + "mov x12, #15; {label}: ldrb w13, [x11, x12]; strb w13, [x10, x12]; subs x12, x12, #1; b.pl {label}b",
    ),
    fp_values=(
        "mov x29, sp",
        "mov x29, #{n}",
        "add x29, sp, #{n}",
        "mov x29, #0",
        "adr x29, test_main",
        "sub x29, sp, #{n} * 8",
    ),
    save_fp=_A64_KEPT + "str x29, [x11]",
    restore_fp=_A64_KEPT + "ldr x29, [x11]",
    fillers=(
        "nop",
        "add x9, x9, #{n}",
        "eor x12, x9, x29",
        "mov x13, sp",
        "str x9, [sp, #-{n}]!; add sp, sp, #{n}",
        "ldr x12, [sp]",
    ),
    call="bl {target}",
    loop=(
        _A64_KEPT + "mov x12, #{n}; str x12, [x11]; {label}: nop",
        _A64_KEPT + "ldr x12, [x11]; subs x12, x12, #1; str x12, [x11]; b.ne {label}b",
    ),
    recursion="subs x0, x0, #1; b.eq {label}f; bl {target}; {label}: nop",
    depth="mov x0, #{n}",
    record=(
        "sub sp, sp, #{size}; stp x29, x30, [sp, #{at}]; add x29, sp, #{at}",
        "ldp x29, x30, [sp, #{at}]; add sp, sp, #{size}; ret",
    ),
    bare=("sub sp, sp, #{size}; str x30, [sp, #{at}]", "ldr x30, [sp, #{at}]; add sp, sp, #{size}; ret"),
    zero="mov w0, #0",
    step=16,
    pushed=0,
)

_X86_KEPT = "{kept}(%rip)"

X86 = Texts(
    values=(
        "mov %rsp, %rax",
        "xor %eax, %eax",
        "mov $-1, %rax",
        "mov $test_main, %eax",
        "mov %rbp, %rax",
        "lea {n} * 8(%rsp), %rax",
        "movabs $0x{n}0{n}0{n}0{n}, %rax",
    ),
    stores={
        1: ("mov %al, {off}(%rsp)", "mov ${off}, %ecx; mov %al, (%rsp, %rcx)", "lea {off}(%rsp), %rdi; stosb"),
        2: ("mov %ax, {off}(%rsp)", "lea {off} + 6(%rsp), %rdx; mov %ax, -6(%rdx)"),
        4: ("mov %eax, {off}(%rsp)", "mov $-3, %rcx; lea 12 + {off}(%rsp), %rdx; mov %eax, (%rdx, %rcx, 4)"),
        8: (
            "mov %rax, {off}(%rsp)",
            "movq %rax, %xmm0; movq %xmm0, {off}(%rsp)",
            "lea {off}(%rsp), %rdi; mov $8, %ecx; rep stosb",
            "xchg %rax, {off}(%rsp)",
            "push %rax; pop {off}(%rsp)",
            "lea 7 + {off}(%rsp), %rdi; mov $8, %ecx; std; rep stosb; cld",
            "xor %rax, {off}(%rsp)",
        ),
        16: (
            "movq %rax, %xmm0; punpcklqdq %xmm0, %xmm0; movups %xmm0, {off}(%rsp)",
            "lea {off}(%rsp), %rdi; mov $2, %ecx; rep stosq",
            "lea {off}(%rsp), %rsi; lea 1(%rsi), %rdi; mov $15, %ecx; rep movsb",
        ),
    },
    fp_stores={
        1: ("mov %al, {fp}(%rbp)",),
        2: ("mov %ax, {fp}(%rbp)",),
        4: ("mov ${fp}, %rcx; mov %eax, (%rbp, %rcx)",),
        8: ("lock xchg %rax, {fp}(%rbp)",),
        16: ("pxor %xmm0, %xmm0; movups %xmm0, {fp}(%rbp)",),
    },
    save="movups {off}(%rsp), %xmm7; movups %xmm7, " + _X86_KEPT,
    restores=(
        "movups " + _X86_KEPT + ", %xmm7; movups %xmm7, {off}(%rsp)",
        "mov " + _X86_KEPT + ", %rcx; mov %rcx, {off}(%rsp); mov {kept} + 8(%rip), %rcx; mov %rcx, 8 + {off}(%rsp)",
        "lea {kept}(%rip), %rsi; lea {off}(%rsp), %rdi; mov $16, %ecx; rep movsb",
        "push {kept} + 8(%rip); push {kept}(%rip); pop {off} + 8(%rsp); pop {off} + 8(%rsp)",
    ),
    fp_values=(
        "mov %rsp, %rbp",
        "mov ${n}, %ebp",
        "lea {n}(%rsp), %rbp",
        "xor %ebp, %ebp",
        "mov $test_main, %ebp",
        "lea -8 * {n}(%rsp), %rbp",
    ),
    save_fp="mov %rbp, " + _X86_KEPT,
    restore_fp="mov " + _X86_KEPT + ", %rbp",
    fillers=(
        "nop",
        "add ${n}, %rax",
        "lea (%rbp, %rax), %rdx",
        "mov %rsp, %rdx",
        "push %rax; pop %rdx",
        "mov (%rsp), %rdx",
    ),
    call="call {target}",
    loop=("movq ${n}, " + _X86_KEPT + "; {label}: nop", "decq " + _X86_KEPT + "; jne {label}b"),
    recursion="dec %r9d; je {label}f; call {target}; {label}: nop",
    depth="mov ${n}, %r9d",
    record=("push %rbp; mov %rsp, %rbp; sub ${size} - 8, %rsp", "leave; ret"),
    bare=("sub ${size}, %rsp", "add ${size}, %rsp; ret"),
    zero="xor %eax, %eax",
    step=8,
    pushed=8,
)
