/* The same call in a row, and recursion with the same SP and return address without any frame. */
MAIN
 lea kept(%rip), %rbx
 mov $6, %eax
 call frameless
SAME
 mov $4, %r12d
1: call probe
SAME
 dec %r12d
 jne 1b
 mov $5, %eax
 call same
SAME
DONE
FUNC frameless
 pop (%rbx)
 add $8, %rbx
 test %eax, %eax
 je 1f
 dec %eax
 call frameless
1: sub $8, %rbx
 jmp *(%rbx)
END frameless
FUNC same
 push %rbp
 mov %rsp, %rbp
 test %eax, %eax
 je 2f
 dec %eax
 call same
2: call leaf
 dec %eax
 pop %rbp
 ret
END same
 .bss
 .balign 8
kept: .skip 128
