# FP stays at the records of functions that have returned; meanwhile another call takes the place of theirs.
FUNC inner
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 bl leaf
 bl leaf
 ldr x30, [sp, #8]
 add sp, sp, #16
 ret
END inner
FUNC outer
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 bl inner
 ldr x30, [sp, #8]
 add sp, sp, #16
 ret
END outer
FUNC beside
 mov x20, x30
 bl leaf
 mov x30, x20
 ret
END beside
MAIN
 mov x19, #3
1: bl outer
HIT
 nop
 bl beside
HIT
 mov x29, sp
HEAL
 bl outer
 bl leaf
 mov x29, sp
HEAL
 subs x19, x19, #1
 b.ne 1b
DONE
