/* Instructions inside instructions, odd prefixes, and instructions that follow themselves. */
MAIN
 mov $3, %r12d
 mov $probe, %r14d
 xor %r13d, %r13d
1: .byte 0xb8
2: nop
 nop
 nop
 nop
 call probe
SAME
 lea 4f(%rip), %rcx
 .byte 0x48, 0xba
4: call 3f
 jmp 5f
 nop
 test %r13, %r13
 jne 5f
 inc %r13d
 jmp *%rcx
3: call probe
 rep ret
5: dec %r12d
 jne 2b
SAME
 mov $9, %ecx
6: loop 6b
 mov $4, %ecx
7: loopne 7b
SAME
 push %rsp
 pop %rsp
SAME
 .byte 0x48, 0x66, 0x90
 .byte 0x3e, 0x2e, 0x90
 .byte 0x3e
 call *%r14
SAME
 .byte 0xf2
 call probe
 call straight
SAME
 mov $5, %ecx
 lea -64(%rsp), %rdi
 rep stosb
 rep stosb
 mov $3, %ecx
 lea -64(%rsp), %rdi
 repne stosq
SAME
 lea -64(%rsp), %rdi
 lea -60(%rsp), %rsi
 mov $60, %ecx
 repe cmpsb
 mov $60, %ecx
 repne scasb
SAME
DONE
FUNC straight
 call leaf
 ret
END straight
