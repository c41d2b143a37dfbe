"""One line per form of store: what the classification must predict, and what it must own up to.

A form is ``set-up; set-up; store``; only the last instruction writes.  The registers of SETUP are made anew before
every form.
"""

from __future__ import annotations

SETUP = {
    "aarch64": """
        adrp x1, buffer
        add x1, x1, :lo12:buffer
        add x1, x1, #512
        mov x2, #16
        movz x3, #0xfff0
        movk x3, #0xffff, lsl #16
        movk x3, #0x1234, lsl #32
        movz x6, #0x10
        movk x6, #0x5678, lsl #32
        mov x5, #-16
        mov x12, #1
        mov x13, #2
""",
    "x86_64": """
        lea buffer+512(%rip), %rdi
        lea buffer+1024(%rip), %rsi
        mov $16, %ecx
        mov $-16, %r9
        mov %rdi, %r12
        mov %rdi, %r13
        xor %eax, %eax
        mov $0, %edx
        lea -256(%r14), %rsp
        cld
        fninit
""",
}

_A64_SINGLE = """
str x10, [x1]; str w10, [x1, #4]; str xzr, [x1, #32760]; strb w10, [x1, #4095]; strh w10, [x1, #2]
stur x10, [x1, #-7]; stur w10, [x1, #255]; sturb w10, [x1, #-256]; sturh w10, [x1, #-3]
sttr x10, [x1, #8]; sttr w10, [x1, #-8]; sttrb w10, [x1, #1]; sttrh w10, [x1]
str x10, [x1, #16]!; str x10, [x1], #16; strb w10, [x1], #-1; strh w10, [x1, #-2]!; str w10, [x1], #-256
str x10, [x1, x2]; str x10, [x1, x2, lsl #3]; str w10, [x1, w6, uxtw]; str w10, [x1, w6, uxtw #2]
str x10, [x1, w3, sxtw]; str x10, [x1, w3, sxtw #3]; str x10, [x1, x5, sxtx]; strb w10, [x1, x5]
strh w10, [x1, x2, lsl #1]; strh w10, [x1, x5, sxtx #1]; strb w10, [x1, w3, sxtw]; strb w10, [x1, w6, uxtw]
str x10, [x1, xzr]; strb w10, [x1, x2, lsl #0]; str w10, [x1, x5, sxtx #2]
str b0, [x1, #1]; str h0, [x1, #2]; str s0, [x1, #4]; str d0, [x1, #8]; str q0, [x1, #16]
stur b0, [x1, #-1]; stur h0, [x1, #-2]; stur s0, [x1, #-4]; stur d0, [x1, #-8]; stur q0, [x1, #-16]
str q0, [x1, #16]!; str q0, [x1], #-16; str b0, [x1], #1; str d0, [x1, #-8]!; str h0, [x1], #2
str q0, [x1, x2, lsl #4]; str q0, [x1, w3, sxtw]; str d0, [x1, w6, uxtw #3]; str s0, [x1, x2]; str b0, [x1, x5]
str h0, [x1, x5, lsl #1]; str q0, [x1, w3, sxtw #4]
"""
_A64_PAIR = """
stp x10, x11, [x1]; stp w10, w11, [x1, #-8]; stp x10, x11, [x1, #-512]; stp xzr, xzr, [x1, #504]
stp x10, x11, [x1, #-16]!; stp x10, x11, [x1], #16; stp w10, w11, [x1], #-8; stp w10, w11, [x1, #8]!
stnp x10, x11, [x1, #16]; stnp w10, w11, [x1, #8]; stnp q0, q1, [x1, #32]; stnp d0, d1, [x1]
stp s0, s1, [x1, #8]; stp d0, d1, [x1, #-16]; stp q0, q1, [x1, #32]; stp q0, q1, [x1, #-32]!; stp d0, d1, [x1], #16
stp s0, s1, [x1], #8
"""
_A64_ORDERED = """
stlr x10, [x1]; stlr w10, [x1]; stlrb w10, [x1]; stlrh w10, [x1]; stllr x10, [x1]; stllrb w10, [x1]
stlur x10, [x1, #-8]; stlur w10, [x1, #4]; stlurb w10, [x1, #-1]; stlurh w10, [x1, #2]
ldxr x11, [x1] & stxr w9, x10, [x1]; ldxr w11, [x1] & stlxr w9, w10, [x1]; ldxrb w11, [x1] & stxrb w9, w10, [x1]
ldaxrh w11, [x1] & stlxrh w9, w10, [x1]; ldxp x11, x14, [x1] & stxp w9, x10, x11, [x1]
ldaxp w11, w14, [x1] & stlxp w9, w10, w11, [x1]
swp x10, x11, [x1]; swpal w10, w11, [x1]; swpb w10, w11, [x1]; swplh w10, w11, [x1]
ldadd x12, x11, [x1]; ldadda w12, w11, [x1]; ldclr x12, x11, [x1]; ldeorb w12, w11, [x1]; ldseth w12, w11, [x1]
ldsmax x12, x11, [x1]; ldsmin x12, x11, [x1]; ldumaxal x12, x11, [x1]; lduminl w12, w11, [x1]; stadd x12, [x1]
stset w12, [x1]; ldr x11, [x1] & cas x11, x10, [x1]; ldr w11, [x1] & casal w11, w10, [x1]
ldrb w11, [x1] & casb w11, w10, [x1]; ldrh w11, [x1] & caslh w11, w10, [x1]
ldp x12, x13, [x1] & casp x12, x13, x10, x11, [x1]; ldp w12, w13, [x1] & caspal w12, w13, w10, w11, [x1]
"""
_A64_STRUCTURES = """
st1 {v0.16b}, [x1]; st1 {v0.8b, v1.8b}, [x1]; st1 {v0.4s, v1.4s, v2.4s}, [x1]; st1 {v0.2d, v1.2d, v2.2d, v3.2d}, [x1]
st2 {v0.8h, v1.8h}, [x1]; st2 {v0.4h, v1.4h}, [x1], #16; st3 {v0.16b, v1.16b, v2.16b}, [x1]
st3 {v0.8b, v1.8b, v2.8b}, [x1], #24; st4 {v0.4s, v1.4s, v2.4s, v3.4s}, [x1], #64
st4 {v0.2s, v1.2s, v2.2s, v3.2s}, [x1]
st1 {v0.1d}, [x1], #8; st1 {v0.16b}, [x1], x2; st4 {v0.16b, v1.16b, v2.16b, v3.16b}, [x1], x2
st1 {v0.b}[3], [x1]; st1 {v0.h}[1], [x1]; st1 {v0.s}[2], [x1]; st1 {v0.d}[1], [x1]; st1 {v0.b}[15], [x1], #1
st2 {v0.b, v1.b}[2], [x1]; st2 {v0.h, v1.h}[2], [x1], #4; st2 {v0.s, v1.s}[3], [x1], x2; st2 {v0.d, v1.d}[0], [x1]
st3 {v0.b, v1.b, v2.b}[9], [x1]; st3 {v0.h, v1.h, v2.h}[7], [x1]; st3 {v0.s, v1.s, v2.s}[0], [x1], #12
st3 {v0.d, v1.d, v2.d}[1], [x1]; st4 {v0.b, v1.b, v2.b, v3.b}[4], [x1]; st4 {v0.h, v1.h, v2.h, v3.h}[4], [x1]
st4 {v0.s, v1.s, v2.s, v3.s}[1], [x1]; st4 {v0.d, v1.d, v2.d, v3.d}[1], [x1], x2
str x10, [sp]; stp x10, x11, [sp, #8]; strb w10, [sp, x2]
"""
_X86_INTEGER = """
mov %rax, (%rdi); mov %eax, 4(%rdi); mov %ax, -2(%rdi); mov %al, 1(%rdi); movq $-1, (%rdi,%rcx,8); movb $1, (%rdi,%r9)
movl $1, buffer(%rip); movq $1, buffer+8(%rip); movw $1, buffer+16(%rip); movb $1, buffer; mov %ah, (%rdi)
mov %rax, (%r12); mov %rax, (%r13); mov %rax, 8(%r12,%r9,2); mov %rax, -600(%rsi,%rcx,4); movl $1, buffer(,%rcx,4)
mov %ds, (%rdi); movnti %rax, (%rdi); movnti %eax, (%rdi); movbe %rax, (%rdi); movbe %ax, (%rdi); movbe %eax, (%rdi)
add %rax, (%rdi); orl $1, (%rdi); adcb $1, (%rdi); sbb %cx, (%rdi); and %rcx, (%rdi); sub %ecx, (%rdi)
xorb %cl, (%rdi)
incq (%rdi); decl (%rdi); negw (%rdi); notb (%rdi); roll $3, (%rdi); rorq %cl, (%rdi); rclb $1, (%rdi)
rcrw $2, (%rdi)
shll (%rdi); shrq $4, (%rdi); sarb %cl, (%rdi); shld $4, %rcx, (%rdi); shrd %cl, %edx, (%rdi); shld $1, %cx, (%rdi)
xchg %rax, (%rdi); xchg %cl, (%rdi); xchg %cx, (%rdi); lock xadd %rcx, (%rdi); xadd %cl, (%rdi); xadd %cx, (%rdi)
lock cmpxchg %rcx, (%rdi); cmpxchg %cl, (%rdi); cmpxchg %ecx, (%rdi); cmpxchg8b (%rdi)
mov (%rdi), %rax & mov 8(%rdi), %rdx & cmpxchg16b (%rdi)
lock incl (%rdi); lock orq $0, (%rsp); btsl $3, (%rdi); btrq $40, (%rdi); btcw $1, (%rdi); lock btsq $63, (%rdi)
seto (%rdi); setno (%rdi); setb (%rdi); setae (%rdi); sete (%rdi); setne (%rdi); setbe (%rdi); seta (%rdi)
sets (%rdi)
setns (%rdi); setp (%rdi); setnp (%rdi); setl (%rdi); setge (%rdi); setle (%rdi); setg (%rdi)
"""
_X86_STACK = """
push %rax; push %r15; push $1; push $-300; push (%rdi); pushfq; push %fs; pushw %ax; pushw $3; pushw $300
pushw (%rdi)
pushfw; push %rsp; push 8(%rsp); pop (%rdi); pop (%rsp); pop 16(%rsp); pop -8(%rsp); popw (%rdi); popw 8(%rsp)
enter $16, $0; pop 8(%rsp,%rcx,2); call 9f & 9: nop; lea 9f(%rip), %rax & call *%rax & 9: nop
lea 9f(%rip), %r15 & call *target(%rip) & 9: nop; data16 data16 rex64 call 9f & 9: nop
"""
_X86_STRINGS = """
stosb; stosw; stosl; stosq; movsb; movsw; movsl; movsq; mov $5, %ecx & rep stosb; mov $3, %ecx & rep stosq
mov $4, %ecx & rep movsb; mov $2, %ecx & rep movsl; std & mov $3, %ecx & rep movsq; std & mov $3, %ecx & rep stosw
std & stosl; mov $3, %ecx & .byte 0xf2, 0xa5; mov $2, %ecx & .byte 0xf2, 0x48, 0xab
"""
_X86_VECTOR = """
movss %xmm0, (%rdi); movsd %xmm0, 8(%rdi); movaps %xmm0, (%rdi); movapd %xmm8, (%rdi); movups %xmm0, 3(%rdi)
movupd %xmm0, (%rdi,%r9); movdqa %xmm0, (%rdi); movdqu %xmm0, 1(%rdi); movd %xmm0, (%rdi); movq %xmm0, (%rdi)
movd %mm0, (%rdi); movq %mm0, (%rdi); movntq %mm0, (%rdi); movntps %xmm0, (%rdi); movntpd %xmm0, (%rdi)
movntdq %xmm0, (%rdi); movlps %xmm0, (%rdi); movlpd %xmm0, (%rdi); movhps %xmm0, (%rdi); movhpd %xmm0, (%rdi)
pextrb $1, %xmm0, (%rdi); pextrw $1, %xmm0, (%rdi); pextrd $1, %xmm0, (%rdi); pextrq $1, %xmm0, (%rdi)
extractps $1, %xmm0, (%rdi); stmxcsr (%rdi); .byte 0x66, 0x48, 0x0f, 0x7e, 0x07; movaps %xmm0, buffer(%rip)
pcmpeqb %xmm1, %xmm1 & maskmovdqu %xmm1, %xmm0; pcmpeqb %mm1, %mm1 & maskmovq %mm1, %mm0; emms & nop & fnstcw (%rdi)
fnstsw (%rdi); fldz & fsts (%rdi); fldz & fstl (%rdi); fldz & fstps (%rdi); fldz & fstpl (%rdi); fldz & fstpt (%rdi)
fldz & fists (%rdi); fldz & fistl (%rdi); fldz & fistps (%rdi); fldz & fistpl (%rdi); fldz & fistpll (%rdi)
fldz & fisttps (%rdi); fldz & fisttpl (%rdi); fldz & fisttpll (%rdi); fldz & fbstp (%rdi)
"""

_UNPREDICTED = {
    "aarch64": "dc zva, x1",
    "x86_64": """mov %eax, %fs:(%rdi); mov %eax, %gs:(%rdi); mov %eax, (%edi); .byte 0x67, 0xab
push %gs:(%rdi); bts %rcx, (%rdi)
btr %cx, (%rdi); btc %ecx, (%rdi); enter $16, $1; enter $16, $3; fnstenv (%rdi); fnsave (%rdi); fxsave (%rdi)
sgdt (%rdi); sidt (%rdi); sldt (%rdi); smsw (%rdi); lock addl $1, %fs:(%rdi)""",
}
_SURPLUS = {
    "aarch64": "clrex & stxr w9, x10, [x1]; clrex & stlxp w9, x10, x11, [x1]",
    "x86_64": "xor %ecx, %ecx & rep stosb; xor %ecx, %ecx & rep movsq; pxor %xmm1, %xmm1 & maskmovdqu %xmm1, %xmm0",
}
_SILENT = {
    "aarch64": """ldr x10, [x1]; ldrsw x10, [x1, #4]; ldp x10, x11, [x1]; ldpsw x10, x11, [x1]; ldr q0, [x1], #16
ldrb w10, [x1, x2]; ldur h0, [x1]; ldar x10, [x1]; ldapr x10, [x1]; ldapur w10, [x1, #4]; ldxr x10, [x1]
ldxp x10, x11, [x1]
ld1 {v0.16b}, [x1]; ld4 {v0.4s, v1.4s, v2.4s, v3.4s}, [x1], #64; ld1r {v0.8h}, [x1]; ld3 {v0.b, v1.b, v2.b}[1], [x1]
prfm pldl1keep, [x1]; prfm pldl1keep, [x1, x2]; prfum pldl1keep, [x1, #1]; ldr x10, literal; ldtr x10, [x1]
add x10, x10, #1; nop; mrs x10, nzcv; isb; fadd v0.2d, v0.2d, v0.2d; ldnp x10, x11, [x1]; dmb ish""",
    "x86_64": """mov (%rdi), %rax; lea 8(%rdi), %rax; nopl (%rdi); nopw 8(%rax,%rax); prefetcht0 (%rdi)
cmp %rax, (%rdi)
test %al, (%rdi); imul (%rdi), %eax; mull (%rdi); bt $3, (%rdi); bt %ecx, (%rdi); movzbl (%rdi), %eax
movslq (%rdi), %rax
cmove (%rdi), %rax; lodsb; scasb; cmpsb; pop %rax; movaps (%rdi), %xmm0; addsd (%rdi), %xmm0
pxor %xmm0, %xmm0; cvtsi2sdl (%rdi), %xmm0; ldmxcsr 1024(%rsi); fldl (%rdi) & fstp %st(0); popcnt (%rdi), %eax
bsf (%rdi), %eax; xchg %rax, %rcx; cpuid; ucomisd (%rdi), %xmm0; mov %fs:(%rdi), %eax; endbr64; pause""",
}


def _forms(text: str) -> tuple[str, ...]:
    return tuple(form.strip().replace("&", "\n") for form in text.replace("\n", ";").split(";") if form.strip())


PREDICTED = {
    "aarch64": _forms(_A64_SINGLE + _A64_PAIR + _A64_ORDERED + _A64_STRUCTURES),
    "x86_64": _forms(_X86_INTEGER + _X86_STACK + _X86_STRINGS + _X86_VECTOR),
}
UNPREDICTED = {arch: _forms(text) for arch, text in _UNPREDICTED.items()}
SURPLUS = {arch: _forms(text) for arch, text in _SURPLUS.items()}
BODY = {
    "aarch64": """
        .arch_extension lse
        .arch_extension rcpc
        FUNC test_main
        {forms}
        mov x0, #0
        ret
        END test_main
        .balign 8
literal: .quad 0
        .bss
        .balign 4096
buffer: .skip 36864
""",
    "x86_64": """
        FUNC test_main
        mov %rsp, %r14
        {forms}
        mov %r14, %rsp
        xor %eax, %eax
        ret
        END test_main
landing: jmp *%r15
        .balign 8
target: .quad landing
        .bss
        .balign 4096
buffer: .skip 36864
""",
}
"""``{forms}``: SETUP and a form, again and again."""

SILENT = {arch: _forms(text) for arch, text in _SILENT.items()}
