/* False records.  The walk may take 4096 steps: 4094 of them, test_main's and the step that ends make them up. */
MAIN
 mov %rbp, %rbx
 mov %rsp, %r12
 xor %ebp, %ebp
 mov $4097, %ecx
1: push $leaf
 push %rbx
 mov %rsp, %rbx
 dec %ecx
 jne 1b
 mov %rbx, %rbp
HIT
 add $16, %rbp
HIT
 add $16, %rbp
HIT
 add $16, %rbp
HIT
 xor %ebp, %ebp
 mov %r12, %rsp
 lea 64(%rsp), %rbp
HEAL
 call probe
DONE
