/* Jumps out of 1, 10, 100 and 2 frames. */
MAIN
 xor %ebx, %ebx
1: mov frames(, %rbx, 8), %rax
 test %eax, %eax
 je 2f
 call catcher
SAME
 call probe
 inc %ebx
 jmp 1b
2: nop
DONE
FUNC catcher
 push %rbp
 mov %rsp, %rbp
 mov %rsp, place(%rip)
 movq $4f, place + 8(%rip)
 call dive
 nop
4: nop
SAME
 call probe
 pop %rbp
 ret
END catcher
FUNC dive
 push %rbp
 mov %rsp, %rbp
 sub $16, %rsp
 dec %eax
 je 1f
 call dive
1: call probe
 mov place(%rip), %rsp
 mov %rsp, %rbp
 jmp *place + 8(%rip)
END dive
 .data
 .balign 8
frames: .quad 1, 10, 1, 100, 2, 0
place: .quad 0, 0
