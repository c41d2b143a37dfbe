/* Calls to the next instruction, over data, through registers; returns that skip, clean up, or are jumps. */
MAIN
 mov $probe, %eax
 call *%rax
 movq $probe, target(%rip)
 call *target(%rip)
 mov $3, %ebx
3: call other
 nop
 call skip
 ud2
 call leaf
 call leaf
 push %rax
 push %rax
 call cleans
 call thunk
 dec %ebx
 jne 3b
SAME
 pushq $4f
 jmp probe
4: nop
SAME
 pushq $5f
 ret
5: nop
SAME
 mov %rsp, %r12
 call 1f
1: pop %rax
HIT
 call probe
 call 2f
 .byte 0
2: lea 8(%rsp), %rsp
HIT
 call probe
DONE
FUNC other
 pop %rcx
 jmp *%rcx
END other
FUNC skip
 addq $2, (%rsp)
 ret
END skip
FUNC cleans
 push %rbp
 mov %rsp, %rbp
 call leaf
 pop %rbp
 ret $16
END cleans
FUNC thunk
 mov $probe, %ecx
 call 1f
2: pause
 jmp 2b
1: mov %rcx, (%rsp)
 ret
END thunk
 .data
 .balign 8
target: .quad 0
