/* Calls that do not return, at their functions' ends: one is left by a jump, one ends the program. */
MAIN
 adrp x19, place
 add x19, x19, :lo12:place
 mov x9, sp
 adr x10, 1f
 stp x9, x10, [x19]
 str x29, [x19, #16]
 bl throws
1: nop
SAME
 bl probe
 bl dies
DONE
FUNC throws
 stp x29, x30, [sp, #-16]!
 mov x29, sp
SAME
 bl jump
END throws
FUNC jump
 ldp x9, x10, [x19]
 ldr x29, [x19, #16]
 mov sp, x9
 br x10
END jump
FUNC dies
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 bl quit
END dies
FUNC quit
 mov x0, #0
 mov x8, #94
 svc #0
END quit
 .bss
 .balign 8
place: .skip 24
