/* Calls, jumps and returns that authenticate their target. */
MAIN
 adr x9, probe
 paciza x9
 blraaz x9
SAME
 adr x9, probe
 mov x10, sp
 pacia x9, x10
 blraa x9, x10
SAME
 bl checked
SAME
 bl left
SAME
DONE
FUNC checked
 paciasp
 stp x29, x30, [sp, #-16]!
 mov x29, sp
SAME
 bl straight
 ldp x29, x30, [sp], #16
 retaa
END checked
FUNC left
 paciasp
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 bl leaf
 ldp x29, x30, [sp], #16
 autiasp
 adr x16, probe
 paciza x16
 braaz x16
END left
FUNC straight
 mov x15, x30
 bl leaf
 br x15
END straight
