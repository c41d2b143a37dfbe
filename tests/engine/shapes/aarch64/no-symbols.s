/* Functions that no symbol names. */
MAIN
 mov x0, #5
 bl .Lnameless
SAME
 bl probe
DONE
.Lnameless:
 stp x29, x30, [sp, #-16]!
 mov x29, sp
SAME
 subs x0, x0, #1
 b.eq 1f
 bl .Lnameless
1: bl .Lbare
 ldr x9, [x29, #8]
 strb wzr, [x29, #9]
HIT
 bl probe
 str x9, [x29, #8]
HEAL
 ldp x29, x30, [sp], #16
 ret
.Lbare:
 ret
