"""x86-64 store forms that go through vectors, the x87 unit or string instructions (see tests.engine.smash_x86_64)."""

from __future__ import annotations

from tests.engine.smash_forms import Group

_MERGE = "movdqu (%rbx), %xmm0; movq %{v}, %xmm1; {insert}; "
TO = "lea {slot}(%rbx), %rdi; "
FROM = "mov %{v}, buffer(%rip); lea buffer(%rip), %rsi; "
#: The record and the words around it, read into ``buffer`` and changed there.
_AROUND = "lea buffer(%rip), %rdi; lea -16(%rbx), %rsi; mov $6, %ecx; rep movsq; mov %{v}, buffer + 16 + {slot}(%rip); "

WIDE = (
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
            "movq %{v}, %xmm1; movntsd %xmm1, {slot}(%rbx)",
            "movnti %{v}, {slot}(%rbx)",
            "movq %{v}, %mm1; movq %mm1, {slot}(%rbx); emms",
            "movq %{v}, %mm1; movntq %mm1, {slot}(%rbx); emms",
            "movq %{v}, %xmm0; pcmpeqb %xmm1, %xmm1; psrldq $8, %xmm1; " + TO + "maskmovdqu %xmm1, %xmm0",
        ),
        partial=(
            "movd %{v}d, %xmm1; movd %xmm1, {slot}(%rbx)",
            "movd %{v}d, %xmm1; movss %xmm1, {slot}(%rbx)",
            "movq %{v}, %xmm1; pextrb $1, %xmm1, 1 + {slot}(%rbx)",
            "movq %{v}, %xmm1; pextrw $1, %xmm1, 2 + {slot}(%rbx)",
            "movq %{v}, %xmm1; pextrd $1, %xmm1, 4 + {slot}(%rbx)",
            "movq %{v}, %xmm1; extractps $0, %xmm1, {slot}(%rbx)",
            "mov $0x80, %eax; movd %eax, %xmm1; movq %{v}, %xmm0; " + TO + "maskmovdqu %xmm1, %xmm0",
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
            "mov %{v}, %rax; " + TO + "stosq",
            "mov %{v}, %rax; mov $1, %ecx; " + TO + "rep stosq",
            "mov %{v}, %rax; mov $1, %ecx; " + TO + "std; rep stosq; cld",
            FROM + TO + "movsq",
            FROM + TO + "mov $8, %ecx; rep movsb",
            FROM + TO + "mov $4, %ecx; rep movsw",
            FROM + TO + "mov $2, %ecx; rep movsl",
            FROM + TO + "mov $1, %ecx; rep movsq",
            FROM + TO + "std; add $7, %rsi; add $7, %rdi; mov $8, %ecx; rep movsb; cld",
            FROM + TO + "std; add $4, %rsi; add $4, %rdi; movsl; movsl; cld",
            _AROUND + "lea buffer(%rip), %rsi; lea -16(%rbx), %rdi; mov $48, %ecx; rep movsb",
            _AROUND + "std; lea buffer + 40(%rip), %rsi; lea 24(%rbx), %rdi; mov $6, %ecx; rep movsq; cld",
        ),
        partial=(
            "mov %{v}b, %al; " + TO + "stosb",
            "mov $0xee, %al; mov $3, %ecx; " + TO + "rep stosb",
            "mov $0xee, %al; mov $3, %ecx; " + TO + "std; add $6, %rdi; rep stosb; cld",
            "mov $0xeeee, %eax; mov $2, %ecx; " + TO + "rep stosw",
            "mov $0xeeee, %eax; " + TO + "add $4, %rdi; stosl",
        ),
    ),
)
