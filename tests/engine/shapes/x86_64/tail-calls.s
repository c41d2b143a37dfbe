/* Functions left by a jump, with and without a frame. */
MAIN
 mov $6, %eax
 call even
SAME
 call first
SAME
DONE
FUNC even
 test %eax, %eax
 je 1f
 dec %eax
 jmp odd
1: ret
END even
FUNC odd
 push %rbp
 mov %rsp, %rbp
SAME
 call leaf
 sub $2, %eax
 pop %rbp
 jmp even
END odd
FUNC first
 push %rbp
 mov %rsp, %rbp
 mov %rbp, -8(%rsp)
 pop %rbp
 mov $second, %ecx
 jmp *%rcx
END first
FUNC second
 push %rbp
 mov %rsp, %rbp
 sub $32, %rsp
SAME
 call probe
 leave
 jmp probe
END second
