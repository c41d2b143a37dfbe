"""One small function a way in or out, in assembly for both architectures."""

from __future__ import annotations

A64_TEXT = """
FUNC target
 bti c
 ret
END target
FUNC leaf
 add x0, x0, #1
 ret
END leaf
FUNC frame
 stp x29, x30, [sp, #-32]!
 mov x29, sp
 bl leaf
 ldp x29, x30, [sp], #32
 ret
END frame
FUNC big
 stp x29, x30, [sp, #-16]!
 mov x13, #0x1040
 mov x0, #1
 sub sp, sp, x13
 bl leaf
 mov x13, #0x1040
 add sp, sp, x13
 ldp x29, x30, [sp], #16
 ret
END big
FUNC vla
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 sub sp, sp, x0
 bl leaf
 mov sp, x29
 ldp x29, x30, [sp], #16
 ret
END vla
FUNC tail
 b target
END tail
FUNC tail_behind_pad
 b target + 4
END tail_behind_pad
FUNC tail_framed
 stp x29, x30, [sp, #-16]!
 bl leaf
 ldp x29, x30, [sp], #16
 b target
END tail_framed
FUNC tail_if
 cbz x0, target
 b.eq target
 ret
END tail_if
FUNC tail_pointer
 mov x16, x2
 br x16
END tail_pointer
FUNC tail_loaded
 stp x29, x30, [sp, #-16]!
 ldr x1, [x0]
 ldp x29, x30, [sp], #16
 br x1
END tail_loaded
FUNC tail_sum
 stp x29, x30, [sp, #-16]!
 add x16, x0, x1
 ldp x29, x30, [sp], #16
 br x16
END tail_sum
FUNC table_framed
 stp x29, x30, [sp, #-16]!
 adr x1, 1f
 ldr x1, [x1, x0, lsl #3]
 br x1
 ldp x29, x30, [sp], #16
 ret
 mov x0, #5
 ldp x29, x30, [sp], #16
 b target
1: .quad 0
END table_framed
FUNC table_leaf
 adr x1, 1f
 add x1, x1, w0, sxtb #2
 br x1
1: mov x0, #1
 ret
 mov x0, #2
 ret
END table_leaf
FUNC other_register
 mov x15, x30
 bl leaf
 ret x15
END other_register
FUNC through_x30
 br x30
END through_x30
FUNC signed
 paciasp
 stp x29, x30, [sp, #-16]!
 bl leaf
 ldp x29, x30, [sp], #16
 retaa
END signed
FUNC again
 bti c
 subs x0, x0, #1
 b.ne again
 cbz x1, again + 4
 ret
END again
FUNC forever
 b forever
END forever
FUNC dies
 stp x29, x30, [sp, #-16]!
 bl forever
END dies
FUNC dies_inside
 cbz x0, 1f
 ret
1: stp x29, x30, [sp, #-16]!
 bl forever
 ret
END dies_inside
FUNC goes_out
 cbz x0, nobody
 b nobody
END goes_out
nobody: ret
"""

X86_TEXT = """
FUNC target
 endbr64
 ret
END target
FUNC leaf
 lea 1(%rdi), %rax
 ret
END leaf
FUNC frame
 push %rbp
 mov %rsp, %rbp
 sub $32, %rsp
 call leaf
 leave
 ret
END frame
FUNC vla
 push %rbp
 mov %rsp, %rbp
 sub %rdi, %rsp
 call leaf
 mov %rbp, %rsp
 pop %rbp
 ret
END vla
FUNC realigned
 lea 8(%rsp), %r10
 and $-32, %rsp
 push -8(%r10)
 push %rbp
 mov %rsp, %rbp
 push %r10
 sub $40, %rsp
 call leaf
 mov -8(%rbp), %r10
 leave
 lea -8(%r10), %rsp
 ret
END realigned
FUNC copied
 push %rbx
 mov %rsp, %rbx
 and $-64, %rsp
 call leaf
 mov %rbx, %rsp
 pop %rbx
 ret
END copied
FUNC tail
 jmp target
END tail
FUNC tail_behind_pad
 jmp target + 4
END tail_behind_pad
FUNC tail_if
 test %rdi, %rdi
 je target
 ret
END tail_if
FUNC tail_pointer
 mov %rdi, %rax
 jmp *%rax
END tail_pointer
FUNC tail_memory
 jmp *8(%rdi)
END tail_memory
FUNC table_framed
 push %rbx
 jmp *%rax
 pop %rbx
 ret
 pop %rbx
 jmp target
END table_framed
FUNC table_leaf
 lea array(%rip), %rdx
 movslq (%rdx,%rdi,4), %rax
 add %rdx, %rax
 notrack jmp *%rax
 mov $1, %eax
 ret
 mov $2, %eax
 ret
END table_leaf
FUNC table_array
 jmp *array(,%rdi,8)
1: mov $1, %eax
 ret
 mov $2, %eax
 ret
END table_array
FUNC pops_arguments
 ret $16
END pops_arguments
FUNC repeated
 rep ret
END repeated
FUNC again
 endbr64
 dec %rdi
 jne again
 jmp again + 4
END again
FUNC counts
1: loop 1b
 jrcxz 1b
 ret
END counts
FUNC over_prefix
 test %eax, %eax
 je 1f
 .byte 0xf0
1: cmpxchg %ecx, (%rdi)
 ret
END over_prefix
FUNC forever
 jmp forever
END forever
FUNC dies
 push %rax
 call forever
END dies
FUNC dies_inside
 test %rdi, %rdi
 je 1f
 ret
1: push %rax
 call forever
 ret
END dies_inside
FUNC goes_out
 je nobody
 jmp nobody
END goes_out
nobody: ret
.data
array: .quad 1b
"""
X86_TEXT = X86_TEXT.replace("1: mov $1", "inside: mov $1").replace(".quad 1b", ".quad inside")
