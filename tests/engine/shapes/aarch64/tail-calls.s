/* Functions left by a jump, with and without a frame. */
MAIN
 mov x0, #6
 bl even
SAME
 bl first
SAME
DONE
FUNC even
 cbz x0, 1f
 sub x0, x0, #1
 b odd
1: ret
END even
FUNC odd
 stp x29, x30, [sp, #-16]!
 mov x29, sp
SAME
 bl leaf
 sub x0, x0, #2
 ldp x29, x30, [sp], #16
 b even
END odd
FUNC first
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 str x30, [sp, #-8]
 ldp x29, x30, [sp], #16
 adr x16, second
 br x16
END first
FUNC second
 stp x29, x30, [sp, #-48]!
 mov x29, sp
SAME
 bl probe
 ldp x29, x30, [sp], #48
 b probe
END second
