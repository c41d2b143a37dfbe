/* 300 levels; the record 200 levels up is smashed at the bottom. */
MAIN
 mov x0, #300
 bl dive
SAME
 bl probe
DONE
FUNC dive
 stp x29, x30, [sp, #-32]!
 mov x29, sp
 subs x0, x0, #1
 b.eq 1f
 bl dive
 ldp x29, x30, [sp], #32
 ret
1: mov x9, x29
 mov x10, #200
2: ldr x9, [x9]
 subs x10, x10, #1
 b.ne 2b
 ldr x11, [x9, #8]
 strb wzr, [x9, #9]
HIT
 bl probe
 str x11, [x9, #8]
HEAL
 bl probe
 ldp x29, x30, [sp], #32
 ret
END dive
