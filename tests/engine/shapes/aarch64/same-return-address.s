/* The same call in a row, and recursion with the same SP and return address without any frame. */
MAIN
 adrp x19, kept
 add x19, x19, :lo12:kept
 mov x0, #6
 bl frameless
SAME
 mov x20, #4
1: bl probe
SAME
 subs x20, x20, #1
 b.ne 1b
 mov x0, #5
 bl same
SAME
DONE
FUNC frameless
 str x30, [x19], #8
 cbz x0, 1f
 sub x0, x0, #1
 bl frameless
1: ldr x30, [x19, #-8]!
 ret
END frameless
FUNC same
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 cbz x0, 2f
 sub x0, x0, #1
 bl same
2: bl leaf
 sub x0, x0, #1
 ldp x29, x30, [sp], #16
 ret
END same
 .bss
 .balign 8
kept: .skip 128
