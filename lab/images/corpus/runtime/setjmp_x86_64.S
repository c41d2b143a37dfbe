/*
 * setjmp and longjmp that know about shadow stacks.  A longjmp leaves functions without executing their exits, so
 * their shadow entries must be dropped with them: the shadow-stack pointer in __unwindlab_ssp is saved and restored
 * like the stack pointer.  Where it is not in use this is harmless.
 *
 * buffer: rbx rbp r12 r13 r14 r15 at 0, the caller's rsp at 48, the return address at 56, __unwindlab_ssp at 64.
 */
	.text
	.globl	setjmp
	.type	setjmp, @function
	.p2align 4
setjmp:
	.cfi_startproc
	mov	%rbx, (%rdi)
	mov	%rbp, 8(%rdi)
	mov	%r12, 16(%rdi)
	mov	%r13, 24(%rdi)
	mov	%r14, 32(%rdi)
	mov	%r15, 40(%rdi)
	lea	8(%rsp), %rdx
	mov	%rdx, 48(%rdi)
	mov	(%rsp), %rdx
	mov	%rdx, 56(%rdi)
	mov	__unwindlab_ssp(%rip), %rdx
	mov	%rdx, 64(%rdi)
	xor	%eax, %eax
	ret
	.cfi_endproc
	.size	setjmp, . - setjmp

/*
 * The frame's description is that of any function just entered until rsp is loaded; from then on the return address
 * is in rdx and the CFA is rsp itself.
 */
	.globl	longjmp
	.type	longjmp, @function
	.p2align 4
longjmp:
	.cfi_startproc
	mov	%esi, %eax
	test	%eax, %eax
	jnz	1f
	inc	%eax			/* longjmp(buffer, 0) makes setjmp return 1 */
1:	mov	64(%rdi), %rdx
	mov	%rdx, __unwindlab_ssp(%rip)
	mov	(%rdi), %rbx
	mov	16(%rdi), %r12
	mov	24(%rdi), %r13
	mov	32(%rdi), %r14
	mov	40(%rdi), %r15
	mov	56(%rdi), %rdx
	mov	8(%rdi), %rbp
	mov	48(%rdi), %rsp
	.cfi_def_cfa rsp, 0
	.cfi_register rip, rdx
	jmp	*%rdx
	.cfi_endproc
	.size	longjmp, . - longjmp

	.section .note.GNU-stack, "", @progbits
