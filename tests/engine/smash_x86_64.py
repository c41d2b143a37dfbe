"""x86-64 store forms for tests.engine.smash_forms.

In ``smash``: rbx = the record, r12 and r13 = its true words, r14 = a wrong word, r15 = a mask; rax, rcx, rdx,
rsi, rdi, r8..r11 and vectors are free.  {v} is the value's register ({v}d, {v}w and {v}b its parts), {n} the
slot's number; {lane} and {insert} put xmm1 into the slot's half of xmm0, {wide} is the slot's register of
rbx and rcx, {fix} restores what a form wrote into the slot it was not asked to write.
"""

from __future__ import annotations

from tests.engine.smash_forms import Dialect, Group
from tests.engine.smash_x86_64_wide import FROM, WIDE

_SKELETON = """
FUNC leaf
 inc %eax
 ret
END leaf
FUNC probe
 push %rbp
 mov %rsp, %rbp
 call leaf
 pop %rbp
 ret
END probe
FUNC deep
 push %rbp
 mov %rsp, %rbp
 sub $32, %rsp
 dec %eax
 je 1f
 call deep
 jmp 2f
1: call smash
2: leave
 ret
END deep
FUNC smash
 push %rbp
 mov %rsp, %rbp
 push %rbx
 push %r12
 push %r13
 push %r14
 push %r15
 sub $72, %rsp
 movabs $0x8080808080808080, %r15
{smash}
 add $72, %rsp
 pop %r15
 pop %r14
 pop %r13
 pop %r12
 pop %rbx
 pop %rbp
 ret
END smash
FUNC test_main
 push %rbp
 mov %rsp, %rbp
 mov ${depth}, %eax
 call deep
 xor %eax, %eax
 pop %rbp
 ret
END test_main
 .bss
 .balign 64
 .globl buffer
buffer: .skip 4096
"""

_WALK = """
 mov %rbp, %rbx
 mov ${level}, %ecx
 test %ecx, %ecx
 je 6f
5: mov (%rbx), %rbx
 dec %ecx
 jne 5b
6: mov (%rbx), %r12
 mov 8(%rbx), %r13
"""

DIALECT = Dialect(
    skeleton=_SKELETON,
    walk=_WALK,
    wrong="mov %{true}, %r14; xor %r15, %r14",
    registers=("r12", "r13", "r14"),
    default="mov %{v}, {slot}(%rbx)",
    call=" nop\n call probe\n nop",
    fields={
        0: {"insert": "movsd %xmm1, %xmm0", "lane": "l", "wide": "rbx", "imm": "0", "fix": "nop"},
        8: {
            "insert": "punpcklqdq %xmm1, %xmm0",
            "lane": "h",
            "wide": "rcx",
            "imm": "1",
            "fix": "mov %r12, (%rbx); mov %r14, 8(%rbx)",
        },
    },
    hides_top_byte=False,
)


def _narrow(store: str, size: int) -> tuple[str, ...]:
    return tuple(f"mov %{{v}}, %rax; shr ${8 * p}, %rax; {store}, {{slot}} + {p}(%rbx)" for p in range(0, 8, size))


def _below(distance: int) -> str:
    """Eight bytes from *distance* bytes below the slot: its first 8 - distance bytes."""
    keep, at = 8 * distance, f"{{slot}} - {distance}(%rbx)"
    old = f"mov {at}, %rax; shl ${64 - keep}, %rax; shr ${64 - keep}, %rax"
    return f"{old}; mov %{{v}}, %rcx; shl ${keep}, %rcx; or %rcx, %rax; mov %rax, {at}"


def _above(distance: int) -> str:
    """Eight bytes from *distance* bytes above the slot's beginning: its last 8 - distance bytes."""
    keep, at = 8 * distance, f"{{slot}} + {distance}(%rbx)"
    old = f"mov {at}, %rax; shr ${64 - keep}, %rax; shl ${64 - keep}, %rax"
    return f"{old}; mov %{{v}}, %rcx; shr ${keep}, %rcx; or %rcx, %rax; mov %rax, {at}"


_SIXTEEN = "mov %rbx, %r8; mov %r14, %r9; mov (%rbx), %rbx; mov 8(%r8), %rcx; mov %{v}, %{wide}; mov (%r8), %rax; "
_EIGHT = "mov %rbx, %r8; mov %{v}, %r10; mov {slot}(%rbx), %eax; mov 4 + {slot}(%rbx), %edx; mov %r10d, %ebx; "
_TOP = "mov %{v}, %rax; shr $56, %rax; "

GROUPS = (
    Group(
        "narrow",
        partial=(
            *_narrow("mov %al", 1),
            *_narrow("mov %ax", 2),
            *_narrow("mov %eax", 4),
            "movb $0x55, {slot}(%rbx)",
            "movw $0x55, 2 + {slot}(%rbx)",
            "movl $5, {slot}(%rbx)",
            "movq $-5, {slot}(%rbx)",
            "mov %ah, {slot}(%rbx)",
        ),
    ),
    Group(
        "straddle",
        partial=(
            *map(_below, range(1, 8)),
            *map(_above, range(1, 8)),
            "mov {slot} - 3(%rbx), %eax; rol $8, %eax; mov %{v}b, %al; ror $8, %eax; mov %eax, {slot} - 3(%rbx)",
            "mov {slot} - 1(%rbx), %ax; mov %{v}, %rcx; mov %cl, %ah; mov %ax, {slot} - 1(%rbx)",
            "mov 7 + {slot}(%rbx), %ecx; " + _TOP + "mov %al, %cl; mov %ecx, 7 + {slot}(%rbx)",
            "movdqu {slot} - 15(%rbx), %xmm0; pinsrb $15, %{v}d, %xmm0; movdqu %xmm0, {slot} - 15(%rbx)",
            "movups 7 + {slot}(%rbx), %xmm0; " + _TOP + "pinsrb $0, %eax, %xmm0; movups %xmm0, 7 + {slot}(%rbx)",
        ),
    ),
    *WIDE,
    Group(
        "atomics",
        full=(
            "mov %{v}, %rax; xchg %rax, {slot}(%rbx)",
            "mov %{v}, %rax; sub {slot}(%rbx), %rax; lock xadd %rax, {slot}(%rbx)",
            "mov {slot}(%rbx), %rax; lock cmpxchg %{v}, {slot}(%rbx)",
            "mov {slot}(%rbx), %rax; cmpxchg %{v}, {slot}(%rbx)",
            "mov %{v}, %rax; sub {slot}(%rbx), %rax; lock add %rax, {slot}(%rbx)",
            "mov %{v}, %rax; xor {slot}(%rbx), %rax; lock xor %rax, {slot}(%rbx)",
            "lock andq $0, {slot}(%rbx); lock or %{v}, {slot}(%rbx)",
        ),
        partial=(
            "mov %{v}b, %al; xchg %al, {slot}(%rbx)",
            "mov %{v}d, %eax; xchg %eax, {slot}(%rbx)",
            "mov $9, %eax; lock xadd %al, {slot}(%rbx)",
            "lock incq {slot}(%rbx)",
            "lock decb 1 + {slot}(%rbx)",
            "lock negq {slot}(%rbx)",
            "lock notb 3 + {slot}(%rbx)",
            "lock btcq $7, {slot}(%rbx)",
            "lea -64(%rbx), %r8; mov $(64 + {slot}) * 8 + 7, %ecx; btc %rcx, (%r8)",
            "lea 64(%rbx), %r8; mov $({slot} - 64) * 8 + 7, %rcx; lock btc %rcx, (%r8)",
            "lea 1000(%rbx), %r8; mov $({slot} - 1000) * 8 + 9, %rcx; btc %ecx, (%r8)",
            "mov {slot}(%rbx), %al; mov %{v}, %rcx; lock cmpxchg %cl, {slot}(%rbx)",
        ),
    ),
    Group(
        "cmpxchg16b",
        full=(
            _SIXTEEN + "mov 8(%r8), %rdx; lock cmpxchg16b (%r8); mov %r8, %rbx; mov %r9, %r14",
            _EIGHT + "shr $32, %r10; mov %r10d, %ecx; lock cmpxchg8b {slot}(%r8); mov %r8, %rbx",
        ),
    ),
    Group(
        "arithmetic",
        full=(
            "mov %{v}, %rax; sub {slot}(%rbx), %rax; add %rax, {slot}(%rbx)",
            "mov {slot}(%rbx), %rax; sub %{v}, %rax; sub %rax, {slot}(%rbx)",
            "andq $0, {slot}(%rbx); or %{v}, {slot}(%rbx)",
            "mov {slot}(%rbx), %rax; xor %{v}, %rax; xor %rax, {slot}(%rbx)",
            "mov %{v}, %rax; bswap %rax; movbe %rax, {slot}(%rbx)",
        ),
        partial=(
            "addq $8, {slot}(%rbx)",
            "stc; adcq $0, {slot}(%rbx)",
            "stc; sbbb $0, {slot}(%rbx)",
            "incb {slot}(%rbx)",
            "negq {slot}(%rbx)",
            "notl {slot}(%rbx)",
            "shlq $1, {slot}(%rbx)",
            "mov $3, %cl; rolq %cl, {slot}(%rbx)",
            "sarw $1, {slot}(%rbx)",
            "stc; rcrq $1, {slot}(%rbx)",
            "shldq $9, %r15, {slot}(%rbx)",
            "mov $4, %cl; shrdq %cl, %r15, {slot}(%rbx)",
            "cmp %eax, %eax; sete 3 + {slot}(%rbx)",
            "btsq $3, {slot}(%rbx); btrq $4, {slot}(%rbx); btcq $5, {slot}(%rbx)",
            "mov %ds, {slot}(%rbx)",
        ),
    ),
    Group(
        "addresses",
        full=(
            "mov ${slot} - 64, %rcx; lea 64(%rbx), %r8; mov %{v}, (%r8, %rcx)",
            "mov ${n} - 8, %rcx; lea 64(%rbx), %r9; mov %{v}, (%r9, %rcx, 8)",
            "mov ${n}, %ecx; lea -2040(%rbx), %r11; mov %{v}, 2040(%r11, %rcx, 8)",
            "lea {slot}(%rbx), %rcx; shr $3, %rcx; mov %{v}, 0(, %rcx, 8)",
            "lea {slot} - 5(%rbx), %rcx; mov $5, %edx; mov %{v}, (%rdx, %rcx, 1)",
            "mov %{v}, %fs:{slot}(%rbx)",
            "mov %{v}, %gs:{slot}(%rbx)",
            "mov %rbx, %rcx; mov %{v}, {slot}(%rcx)",
            "lea 127(%rbx), %rcx; mov %{v}, {slot} - 127(%rcx)",
            "lea 0x10000(%rbx), %r10; mov %{v}, {slot} - 0x10000(%r10)",
            "push %{v}; pop {slot}(%rbx)",
        ),
        partial=("lea {slot}(%rbx), %rcx; mov %rcx, (%rcx)", "mov $-3, %rcx; mov %{v}b, 3 + {slot}(%rbx, %rcx)"),
    ),
    Group(
        "stack-pointer",
        full=(
            "mov %{v}, 112 + {slot}(%rsp)",
            "mov $14 + {n}, %ecx; mov %{v}, (%rsp, %rcx, 8)",
            "mov %{v}, {slot}(%rbp)",
            "push %{v}; pop 112 + {slot}(%rsp)",
            "mov %rsp, %r8; lea 8 + {slot}(%rbp), %rsp; push %{v}; mov %r8, %rsp",
            "mov %rsp, %r8; mov %{v}, buffer(%rip); lea 8 + {slot}(%rbp), %rsp; push buffer(%rip); mov %r8, %rsp",
            FROM + "mov %rsp, %r8; lea 8 + {slot}(%rbp), %rsp; push (%rsi); mov %r8, %rsp",
        ),
        partial=(
            "mov %rsp, %r8; lea 8 + {slot}(%rbp), %rsp; push $-2; mov %r8, %rsp",
            "mov %rsp, %r8; lea 8 + {slot}(%rbp), %rsp; pushfq; mov %r8, %rsp",
            "mov %rsp, %r8; lea 2 + {slot}(%rbp), %rsp; pushw %{v}w; mov %r8, %rsp",
            "mov %rsp, %r8; lea 8(%rbp), %rsp; enter $16, $0; mov %r8, %rsp; {fix}",
        ),
        levels=(0,),
    ),
)
