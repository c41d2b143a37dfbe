/* Calls to the next instruction, over data, through registers; returns that skip, clean up, or are jumps. */
MAIN
 bl 1f
1: mov x9, x30
SAME
 adr x10, probe
 blr x10
 mov x19, #3
3: bl other
 nop
 bl skip
 brk #1
 bl leaf
 bl leaf
 subs x19, x19, #1
 b.ne 3b
SAME
 bl through
SAME
 adr x30, 4f
 b probe
4: nop
SAME
 bl 2f
 .word 0
2: nop
HIT
 bl probe
DONE
FUNC other
 mov x15, x30
 bl leaf
 ret x15
END other
FUNC skip
 add x30, x30, #4
 ret
END skip
FUNC through
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 bl other
 ldp x29, x9, [sp], #16
 br x9
END through
