/* Code that becomes a call, a store into the record, and a NOP again, five times. */
MAIN
 adrp x19, patched
 add x19, x19, :lo12:patched
 ldr w20, [x19, #site - patched]
 adr x9, words
 ldp w21, w22, [x9]
 mov x23, #5
1: str w21, [x19, #site - patched]
 isb
 bl patched
 str w22, [x19, #site - patched]
 isb
 bl patched
 strh w20, [x19, #site - patched]
 lsr w9, w20, #16
 strh w9, [x19, #site - patched + 2]
 isb
 bl patched
 subs x23, x23, #1
 b.ne 1b
DONE
words: .word 0x94000000 + ((inner - site) >> 2)
 str xzr, [x29, #8]
 .section .changing, "awx", %progbits
FUNC patched
 stp x29, x30, [sp, #-32]!
 mov x29, sp
 mov x24, x30
site: nop
BOTH
 nop
 str x24, [x29, #8]
HEAL
 ldp x29, x30, [sp], #32
 ret
END patched
FUNC inner
 stp x29, x30, [sp, #-16]!
 mov x29, sp
SAME
 nop
 ldp x29, x30, [sp], #16
 ret
END inner
