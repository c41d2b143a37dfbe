/* More than 4096 live calls.  SP tells when it is enough: bit 16 is clear for 64 KiB, 4096 records. */
MAIN
 mov x20, sp
 movz x9, #0xfff0
 movk x9, #0xeffe, lsl #16
 movk x9, #0x7f, lsl #32
 mov x28, x29
 mov x29, #0
 mov sp, x9
 bl dive
 nop
1: mov sp, x20
 mov x29, x20
HEAL
 bl probe
DONE
FUNC dive
 stp x28, x30, [sp, #-16]!
 mov x28, sp
 tbnz x28, #16, 2f
 bl dive
2: mov x29, x28
HIT
 nop
 mov x29, #0
 b 1b
END dive
