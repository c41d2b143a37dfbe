/* System calls, one of them unknown. */
MAIN
 mov $1, %edi
 mov $text, %esi
 mov $6, %edx
 mov $1, %eax
 syscall
SAME
 mov $2, %edi
 mov %rsp, %rsi
 mov $16, %edx
 mov $1, %eax
 syscall
SAME
 mov $999, %eax
 syscall
SAME
 call probe
DONE
text: .ascii "hello\n"
