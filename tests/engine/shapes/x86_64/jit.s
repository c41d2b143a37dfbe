/* Code copied by a string instruction into a writable page that held nothing, run, and replaced, in turn. */
MAIN
 mov $4, %ebx
1: mov $plain, %esi
 call install
 call place
SAME
 mov $wrong, %esi
 call install
 call place
SAME
 mov $calling, %esi
 call install
 mov $place, %eax
 call *%rax
SAME
 dec %ebx
 jne 1b
DONE
FUNC install
 mov $place, %edi
 mov $32, %ecx
 rep movsb
 ret
END install
plain:
 push %rbp
 mov %rsp, %rbp
 .skip 10, 0x90
 pop %rbp
 ret
 .skip 32
wrong:
 push %rbp
 mov %rsp, %rbp
 mov 8(%rbp), %rcx
 notq 8(%rbp)
 nop
 mov %rcx, 8(%rbp)
 pop %rbp
 ret
 .skip 32
calling:
 push %rbp
 mov %rsp, %rbp
 mov $probe, %edx
 nop
 call *%rdx
 nop
 nop
 pop %rbp
 ret
 .skip 32
 .section .changing, "awx", @nobits
 .balign 64
place: .skip 12
seen:
BOTH
 .skip 244
