/* Stores with a 64-bit absolute address: the record of test_main, 272 bytes below the stack's top. */
MAIN
 mov 0(%rbp), %rax
 mov %rax, %rbx
 not %rax
 movabs %rax, 0x7feffffef0
SAME
 call probe
 mov %rbx, %rax
 movabs %rax, 0x7feffffef0
HEAL
 call probe
 mov 0(%rbp), %rax
 mov %rax, %rbx
 not %rax
 movabs %eax, 0x7feffffef0
SAME
 call probe
 mov %rbx, %rax
 movabs %rax, 0x7feffffef0
HEAL
 call probe
 mov 0(%rbp), %rax
 mov %rax, %rbx
 not %rax
 movabs %ax, 0x7feffffef2
SAME
 call probe
 mov %rbx, %rax
 movabs %rax, 0x7feffffef0
HEAL
 call probe
 mov 0(%rbp), %rax
 mov %rax, %rbx
 not %rax
 movabs %al, 0x7feffffef1
SAME
 call probe
 mov %rbx, %rax
 movabs %rax, 0x7feffffef0
HEAL
 call probe
 mov 8(%rbp), %rax
 mov %rax, %rbx
 not %rax
 movabs %rax, 0x7feffffef8
HIT
 call probe
 mov %rbx, %rax
 movabs %rax, 0x7feffffef8
HEAL
 call probe
 mov 8(%rbp), %rax
 mov %rax, %rbx
 not %rax
 movabs %eax, 0x7feffffef8
HIT
 call probe
 mov %rbx, %rax
 movabs %rax, 0x7feffffef8
HEAL
 call probe
 mov 8(%rbp), %rax
 mov %rax, %rbx
 not %rax
 movabs %ax, 0x7feffffefa
HIT
 call probe
 mov %rbx, %rax
 movabs %rax, 0x7feffffef8
HEAL
 call probe
 mov 8(%rbp), %rax
 mov %rax, %rbx
 not %rax
 movabs %al, 0x7feffffef9
HIT
 call probe
 mov %rbx, %rax
 movabs %rax, 0x7feffffef8
HEAL
 call probe
DONE
