/* SP moves far down and back, a stack within the stack, and SP above live frames (their activations end). */
MAIN
 mov x19, sp
 sub sp, sp, #16, lsl #12
SAME
 bl probe
 sub x9, x19, #0xc0, lsl #12
 mov sp, x9
SAME
 bl probe
 stp x29, x30, [sp, #-16]!
 mov x20, x29
 mov x29, sp
HIT
 bl probe
 mov x29, x20
HEAL
 mov sp, x19
SAME
 bl probe
 mov x0, #3
 bl up
DONE
FUNC up
 stp x29, x30, [sp, #-32]!
 mov x29, sp
 str x19, [sp, #16]
 subs x0, x0, #1
 b.eq 1f
 bl up
1: mov x19, sp
 add sp, sp, #48
 nop
 bl leaf
 add sp, sp, #64
 bl leaf
 mov sp, x19
 bl probe
 ldr x19, [sp, #16]
 ldp x29, x30, [sp], #32
 ret
END up
