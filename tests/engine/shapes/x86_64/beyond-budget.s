/* More than 4096 live calls.  SP tells when it is enough: bit 16 is clear for 64 KiB, 4096 records. */
MAIN
 mov %rbp, %rbx
 mov %rbp, %r12
 movabs $0x7feffefff8, %rsp
 xor %ebp, %ebp
 call dive
 nop
1: mov %r12, %rbp
 lea -64(%rbp), %rsp
HEAL
 call probe
DONE
FUNC dive
 push %rbx
 mov %rsp, %rbx
 test $0x10000, %ebx
 jne 2f
 call dive
2: mov %rbx, %rbp
HIT
 nop
 xor %ebp, %ebp
 jmp 1b
END dive
