/* System calls, one of them unknown. */
MAIN
 mov x0, #1
 adr x1, text
 mov x2, #6
 mov x8, #64
 svc #0
SAME
 mov x0, #2
 mov x1, sp
 mov x2, #16
 mov x8, #64
 svc #0
SAME
 mov x8, #999
 svc #0
SAME
 bl probe
DONE
text: .ascii "hello\n"
 .balign 4
