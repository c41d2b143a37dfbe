# FP stays at the records of functions that have returned; meanwhile another call takes the place of theirs.
FUNC inner
 push %rbp
 mov %rsp, %rbp
 call leaf
 call leaf
 add $8, %rsp
 ret
END inner
FUNC outer
 push %rbp
 mov %rsp, %rbp
 call inner
 add $8, %rsp
 ret
END outer
FUNC beside
 call leaf
 ret
END beside
MAIN
 mov %rbp, %r12
 mov $3, %ebx
1: call outer
HIT
 sub $256, %rsp
 call beside
HIT
 add $256, %rsp
 mov %r12, %rbp
HEAL
 call outer
 sub $256, %rsp
 call leaf
 add $256, %rsp
 mov %r12, %rbp
HEAL
 dec %ebx
 jnz 1b
DONE
