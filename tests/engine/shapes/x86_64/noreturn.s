/* Calls that do not return, at their functions' ends: one is left by a jump, one ends the program. */
MAIN
 mov %rsp, place(%rip)
 movq $1f, place + 8(%rip)
 mov %rbp, place + 16(%rip)
 call throws
1: nop
SAME
 call probe
 call dies
DONE
FUNC throws
 push %rbp
 mov %rsp, %rbp
SAME
 call jump
END throws
FUNC jump
 mov place(%rip), %rsp
 mov place + 16(%rip), %rbp
 jmp *place + 8(%rip)
END jump
FUNC dies
 push %rbp
 mov %rsp, %rbp
 call quit
END dies
FUNC quit
 xor %edi, %edi
 mov $231, %eax
 syscall
END quit
 .bss
 .balign 8
place: .skip 24
