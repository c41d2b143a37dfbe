/* False records.  The walk may take 4096 steps: 4094 of them, test_main's and the step that ends make them up. */
MAIN
 mov x20, x29
 adr x21, leaf
 mov x29, #0
 mov x9, x20
 mov x10, #4097
1: stp x9, x21, [sp, #-16]!
 mov x9, sp
 subs x10, x10, #1
 b.ne 1b
 mov x29, x9
HIT
 add x29, x29, #16
HIT
 add x29, x29, #16
HIT
 add x29, x29, #16
HIT
 add x29, x29, #16
 mov x29, #0
 mov sp, x20
 mov x29, x20
HEAL
 bl probe
DONE
