# A store that begins in code and ends in the data behind it: two mappings, and the code is another one then.
FUNC inner
 ret
END inner
MAIN
 mov $3, %ebx
1: call last
 lea last+1(%rip), %rax
 mov (%rax), %r12
 movabs $0x0590c39090909090, %rdx
 mov %rdx, (%rax)
SAME
 call last
 lea last+1(%rip), %rax
 mov %r12, (%rax)
 dec %ebx
 jnz 1b
DONE
 .data
 .quad 5
 .section .changing, "awx", @progbits
 .balign 4096
 .skip 4088
FUNC last
 nop
 call inner
 ret
 nop
END last
