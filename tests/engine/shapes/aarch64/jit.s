/* Code copied by vector stores into a writable page that held nothing, run, and replaced by other code, in turn. */
MAIN
 adrp x19, place
 add x19, x19, :lo12:place
 mov x20, #4
1: adr x21, plain
 bl install
 blr x19
SAME
 adr x21, wrong
 bl install
 blr x19
SAME
 adr x21, calling
 adr x22, probe
 bl install
 blr x19
SAME
 subs x20, x20, #1
 b.ne 1b
DONE
FUNC install
 ld1 {v0.16b-v3.16b}, [x21]
 st1 {v0.16b-v3.16b}, [x19]
 isb
 ret
END install
plain:
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 mov x9, #1
 nop
 nop
 nop
 ldp x29, x30, [sp], #16
 ret
 .skip 32
wrong:
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 mov x9, x30
 str xzr, [x29, #8]
 nop
 str x9, [x29, #8]
 ldp x29, x30, [sp], #16
 ret
 .skip 32
calling:
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 nop
 blr x22
 nop
 nop
 ldp x29, x30, [sp], #16
 ret
 .skip 32
 .section .changing, "awx", %nobits
 .balign 64
place: .skip 16
seen:
BOTH
 .skip 240
