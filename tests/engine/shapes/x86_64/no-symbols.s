/* Functions that no symbol names. */
MAIN
 mov $5, %eax
 call .Lnameless
SAME
 call probe
DONE
.Lnameless:
 push %rbp
 mov %rsp, %rbp
SAME
 dec %eax
 je 1f
 call .Lnameless
1: call .Lbare
 mov 8(%rbp), %rcx
 movb $0, 9(%rbp)
HIT
 call probe
 mov %rcx, 8(%rbp)
HEAL
 pop %rbp
 ret
.Lbare:
 ret
