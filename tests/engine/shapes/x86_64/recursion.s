/* 300 levels; the record 200 levels up is smashed at the bottom. */
MAIN
 mov $300, %eax
 call dive
SAME
 call probe
DONE
FUNC dive
 push %rbp
 mov %rsp, %rbp
 sub $16, %rsp
 dec %eax
 je 1f
 call dive
 leave
 ret
1: mov %rbp, %rbx
 mov $200, %ecx
2: mov (%rbx), %rbx
 dec %ecx
 jne 2b
 mov 8(%rbx), %r12
 movb $0, 9(%rbx)
HIT
 call probe
 mov %r12, 8(%rbx)
HEAL
 call probe
 leave
 ret
END dive
