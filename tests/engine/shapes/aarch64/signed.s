/* Signed return addresses: the signature may change, the address does not. */
MAIN
 mov x0, #5
 bl signed
SAME
DONE
FUNC signed
 paciasp
 stp x29, x30, [sp, #-32]!
 mov x29, sp
SAME
 subs x0, x0, #1
 b.eq 1f
 bl signed
1: ldr x9, [x29, #8]
 strb wzr, [x29, #15]
SAME
 bl probe
 mov x10, x9
 xpaci x10
 str x10, [x29, #8]
SAME
 bl probe
 str x9, [x29, #8]
SAME
 ldp x29, x30, [sp], #32
 autiasp
 ret
END signed
