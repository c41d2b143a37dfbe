/* Code that becomes a call, a store into the record, and a NOP again, five times. */
 .section .changing, "awx", @progbits
MAIN
 mov site(%rip), %r12
 mov $5, %ebx
1: movb $0xe8, site(%rip)
 movl $inner - site - 5, site + 1(%rip)
 call patched
 mov words(%rip), %rax
 mov %rax, site(%rip)
 call patched
 mov %r12d, site(%rip)
 shr $32, %r12
 mov %r12d, site + 4(%rip)
 movb $5, next + 1(%rip)
next: mov $1, %al
 call patched
 mov site(%rip), %r12
 dec %ebx
 jne 1b
 jmp 2f
words: movq $0, 8(%rbp)
2: nop
DONE
FUNC patched
 push %rbp
 mov %rsp, %rbp
 mov 8(%rbp), %r14
site: .byte 0x0f, 0x1f, 0x44, 0, 0
 .byte 0x0f, 0x1f, 0
BOTH
 nop
 mov %r14, 8(%rbp)
HEAL
 pop %rbp
 ret
END patched
FUNC inner
 push %rbp
 mov %rsp, %rbp
SAME
 nop
 pop %rbp
 ret
END inner
