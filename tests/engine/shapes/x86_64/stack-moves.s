/* SP moves far down and back, a stack within the stack, and SP above live frames (their activations end). */
MAIN
 mov %rsp, %rbx
 sub $65536, %rsp
SAME
 call probe
 lea -0xc0000(%rbx), %rsp
SAME
 call probe
 push $leaf
 push %rbp
 mov %rsp, %rbp
HIT
 call probe
 pop %rbp
HEAL
 mov %rbx, %rsp
SAME
 lea -0x80008(%rsp), %rax
 xchg %rax, %rsp
SAME
 and $-64, %rsp
SAME
 call probe
 mov %rbx, %rsp
 call probe
 mov $3, %eax
 call up
DONE
FUNC up
 push %rbp
 mov %rsp, %rbp
 push %rbx
 dec %eax
 je 1f
 call up
1: mov %rsp, %rbx
 mov 32(%rsp), %r12
 mov 40(%rsp), %r13
 add $48, %rsp
 nop
 call leaf
 push %r15
 pop %r15
 add $64, %rsp
 nop
 mov %rbx, %rsp
 mov %r12, 32(%rsp)
 mov %r13, 40(%rsp)
 call probe
 pop %rbx
 pop %rbp
 ret
END up
