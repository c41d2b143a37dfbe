"""x86-64 store forms for tests.engine.smash_forms.

In ``smash``: rbx = the record, r12 and r13 = its true words, r14 = a wrong word, r15 = a mask; rax, rcx, rdx,
rsi, rdi, r8..r11 and vectors are free.  {v} is the value's register ({v}d, {v}w and {v}b its parts), {n} the
slot's number; {lane} and {insert} put xmm1 into the slot's half of xmm0; {pair} is rax or rdx.
"""

from __future__ import annotations

from tests.engine.smash_forms import Dialect, Group

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
        0: {"insert": "movsd %xmm1, %xmm0", "lane": "l", "pair": "rax", "wide": "rbx", "imm": "0", "fix": "nop"},
        8: {"insert": "punpcklqdq %xmm1, %xmm0", "lane": "h", "pair": "rdx", "wide": "rcx", "imm": "1", "fix": "mov %r12, (%rbx); mov %r14, 8(%rbx)"},
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


_MERGE = "movdqu (%rbx), %xmm0; movq %{v}, %xmm1; {insert}; "
_TO = "lea {slot}(%rbx), %rdi; "
_FROM = "mov %{v}, buffer(%rip); lea buffer(%rip), %rsi; "
_PAIR = "mov (%rbx), %rax; mov 8(%rbx), %rdx; mov %{v}, %{pair}; "
_TOP = "mov %{v}, %rax; shr $56, %rax; "

GROUPS = (
    Group(
        "narrow",
        partial=(*_narrow("mov %al", 1), *_narrow("mov %ax", 2), *_narrow("mov %eax", 4), "movb $0x55, {slot}(%rbx)",
                 "movw $0x55, 2 + {slot}(%rbx)", "movl $5, {slot}(%rbx)", "movq $-5, {slot}(%rbx)", "mov %ah, {slot}(%rbx)"),
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
    Group(
        "sse",
        full=(
            _MERGE + "movdqu %xmm0, (%rbx)",
            _MERGE + "movups %xmm0, (%rbx)",
            _MERGE + "movaps %xmm0, (%rbx)",
            _MERGE + "movdqa %xmm0, (%rbx)",
            _MERGE + "movapd %xmm0, (%rbx)",
            _MERGE + "movntdq %xmm0, (%rbx)",
            _MERGE + "movntps %xmm0, (%rbx)",
            _MERGE + "mov{lane}ps %xmm0, {slot}(%rbx)",
            _MERGE + "mov{lane}pd %xmm0, {slot}(%rbx)",
            _MERGE + "pextrq ${imm}, %xmm0, {slot}(%rbx)",
            "movq %{v}, %xmm9; movq %xmm9, {slot}(%rbx)",
            "movq %{v}, %xmm1; movsd %xmm1, {slot}(%rbx)",
            "movnti %{v}, {slot}(%rbx)",
            "movq %{v}, %mm1; movq %mm1, {slot}(%rbx); emms",
            "movq %{v}, %mm1; movntq %mm1, {slot}(%rbx); emms",
            "movq %{v}, %xmm0; pcmpeqb %xmm1, %xmm1; psrldq $8, %xmm1; " + _TO + "maskmovdqu %xmm1, %xmm0",
        ),
        partial=(
            "movd %{v}d, %xmm1; movd %xmm1, {slot}(%rbx)",
            "movd %{v}d, %xmm1; movss %xmm1, {slot}(%rbx)",
            "movq %{v}, %xmm1; pextrb $1, %xmm1, 1 + {slot}(%rbx)",
            "movq %{v}, %xmm1; pextrw $1, %xmm1, 2 + {slot}(%rbx)",
            "movq %{v}, %xmm1; pextrd $1, %xmm1, 4 + {slot}(%rbx)",
            "movq %{v}, %xmm1; extractps $0, %xmm1, {slot}(%rbx)",
            "mov $0x80, %eax; movd %eax, %xmm1; movq %{v}, %xmm0; " + _TO + "maskmovdqu %xmm1, %xmm0",
            "movnti %{v}d, {slot}(%rbx)",
            "stmxcsr {slot}(%rbx)",
        ),
    ),
    Group(
        "x87",
        full=("mov %{v}, buffer(%rip); fildq buffer(%rip); fistpq {slot}(%rbx)",),
        partial=(
            "fldpi; fstpl {slot}(%rbx)",
            "fldpi; fsts {slot}(%rbx); fstp %st(0)",
            "fld1; fistps {slot}(%rbx)",
            "fld1; fisttpll {slot}(%rbx)",
            "fnstcw {slot}(%rbx)",
            "fnstsw {slot}(%rbx)",
            "mov {slot} - 2(%rbx), %ax; fldpi; fstpt {slot} - 2(%rbx); mov %ax, {slot} - 2(%rbx)",
        ),
    ),
    Group(
        "strings",
        full=(
            "mov %{v}, %rax; " + _TO + "stosq",
            "mov %{v}, %rax; mov $1, %ecx; " + _TO + "rep stosq",
            "mov %{v}, %rax; mov $1, %ecx; " + _TO + "std; rep stosq; cld",
            _FROM + _TO + "movsq",
            _FROM + _TO + "mov $8, %ecx; rep movsb",
            _FROM + _TO + "mov $4, %ecx; rep movsw",
            _FROM + _TO + "mov $2, %ecx; rep movsl",
            _FROM + _TO + "mov $1, %ecx; rep movsq",
            _FROM + _TO + "std; add $7, %rsi; add $7, %rdi; mov $8, %ecx; rep movsb; cld",
            _FROM + _TO + "std; add $4, %rsi; add $4, %rdi; movsl; movsl; cld",
            "lea buffer(%rip), %rdi; lea -16(%rbx), %rsi; mov $6, %ecx; rep movsq; mov %{v}, buffer + 16 + {slot}(%rip); "
            "lea buffer(%rip), %rsi; lea -16(%rbx), %rdi; mov $48, %ecx; rep movsb",
            "lea buffer(%rip), %rdi; lea -16(%rbx), %rsi; mov $6, %ecx; rep movsq; mov %{v}, buffer + 16 + {slot}(%rip); "
            "std; lea buffer + 40(%rip), %rsi; lea 24(%rbx), %rdi; mov $6, %ecx; rep movsq; cld",
        ),
        partial=(
            "mov %{v}b, %al; " + _TO + "stosb",
            "mov $0xee, %al; mov $3, %ecx; " + _TO + "rep stosb",
            "mov $0xee, %al; mov $3, %ecx; " + _TO + "std; add $6, %rdi; rep stosb; cld",
            "mov $0xeeee, %eax; mov $2, %ecx; " + _TO + "rep stosw",
            "mov $0xeeee, %eax; " + _TO + "add $4, %rdi; stosl",
        ),
    ),
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
            "mov %rbx, %r8; mov %r14, %r9; mov (%rbx), %rbx; mov 8(%r8), %rcx; mov %{v}, %{wide}; mov (%r8), %rax; "
            "mov 8(%r8), %rdx; lock cmpxchg16b (%r8); mov %r8, %rbx; mov %r9, %r14",
            "mov %rbx, %r8; mov %{v}, %r10; mov {slot}(%rbx), %eax; mov 4 + {slot}(%rbx), %edx; mov %r10d, %ebx; "
            "shr $32, %r10; mov %r10d, %ecx; lock cmpxchg8b {slot}(%r8); mov %r8, %rbx",
        ),
    ),
    Group(
        "arithmetic",
        full=("mov %{v}, %rax; sub {slot}(%rbx), %rax; add %rax, {slot}(%rbx)",
              "mov {slot}(%rbx), %rax; sub %{v}, %rax; sub %rax, {slot}(%rbx)",
              "andq $0, {slot}(%rbx); or %{v}, {slot}(%rbx)",
              "mov {slot}(%rbx), %rax; xor %{v}, %rax; xor %rax, {slot}(%rbx)",
              "mov %{v}, %rax; bswap %rax; movbe %rax, {slot}(%rbx)"),
        partial=("addq $8, {slot}(%rbx)", "stc; adcq $0, {slot}(%rbx)", "stc; sbbb $0, {slot}(%rbx)", "incb {slot}(%rbx)",
                 "negq {slot}(%rbx)", "notl {slot}(%rbx)", "shlq $1, {slot}(%rbx)", "mov $3, %cl; rolq %cl, {slot}(%rbx)",
                 "sarw $1, {slot}(%rbx)", "stc; rcrq $1, {slot}(%rbx)", "shldq $9, %r15, {slot}(%rbx)",
                 "mov $4, %cl; shrdq %cl, %r15, {slot}(%rbx)", "cmp %eax, %eax; sete 3 + {slot}(%rbx)",
                 "btsq $3, {slot}(%rbx); btrq $4, {slot}(%rbx); btcq $5, {slot}(%rbx)", "mov %ds, {slot}(%rbx)"),
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
            "mov %rsp, %r8; mov %{v}, buffer(%rip); lea buffer(%rip), %r9; lea 8 + {slot}(%rbp), %rsp; push (%r9); mov %r8, %rsp",
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
