/* Jumps out of 1, 10, 100 and 2 frames. */
MAIN
 mov x19, #0
1: adr x9, frames
 ldr x0, [x9, x19, lsl #3]
 cbz x0, 2f
 bl catcher
SAME
 bl probe
 add x19, x19, #1
 b 1b
2: nop
DONE
FUNC catcher
 stp x29, x30, [sp, #-32]!
 mov x29, sp
 str x19, [sp, #16]
 adrp x9, place
 add x9, x9, :lo12:place
 mov x10, sp
 adr x11, 4f
 stp x10, x29, [x9]
 str x11, [x9, #16]
 bl dive
 nop
4: nop
SAME
 bl probe
 ldr x19, [sp, #16]
 ldp x29, x30, [sp], #32
 ret
END catcher
FUNC dive
 stp x29, x30, [sp, #-32]!
 mov x29, sp
 subs x0, x0, #1
 b.eq 1f
 bl dive
1: bl probe
 adrp x9, place
 add x9, x9, :lo12:place
 ldp x10, x29, [x9]
 ldr x11, [x9, #16]
 mov sp, x10
 br x11
END dive
 .balign 8
frames: .quad 1, 10, 1, 100, 2, 0
 .bss
 .balign 8
place: .skip 24
