/*
 * setjmp and longjmp that know about shadow stacks.  A longjmp leaves functions without executing their exits, so
 * their shadow entries must be dropped with them: the shadow-stack pointer, in x18 or in __unwindlab_ssp, is saved
 * and restored like the stack pointer.  Where neither is in use, both are harmless: x18 is caller-saved then.
 * (This and longjmp are the only assembly that touches x18.)
 *
 * buffer: x19..x28 at 0, x29 x30 at 80, sp x18 at 96, __unwindlab_ssp at 112, d8..d15 at 120.
 */
	.text
	.globl	setjmp
	.type	setjmp, %function
	.p2align 2
setjmp:
	.cfi_startproc
	stp	x19, x20, [x0]
	stp	x21, x22, [x0, #16]
	stp	x23, x24, [x0, #32]
	stp	x25, x26, [x0, #48]
	stp	x27, x28, [x0, #64]
	stp	x29, x30, [x0, #80]
	mov	x9, sp
	stp	x9, x18, [x0, #96]
	adrp	x9, __unwindlab_ssp
	ldr	x9, [x9, :lo12:__unwindlab_ssp]
	str	x9, [x0, #112]
	stp	d8, d9, [x0, #120]
	stp	d10, d11, [x0, #136]
	stp	d12, d13, [x0, #152]
	stp	d14, d15, [x0, #168]
	mov	w0, #0
	ret
	.cfi_endproc
	.size	setjmp, . - setjmp

/*
 * Until x30 and sp are loaded the unwind information is that of any leaf; from then on "return to x30 with this
 * sp" is what really happens next, so the same rule stays true.  They are loaded last and next to each other:
 * between the two, the rule describes neither frame, and x30 without a CFA is said to be undefined.
 */
	.globl	longjmp
	.type	longjmp, %function
	.p2align 2
longjmp:
	.cfi_startproc
	ldp	x19, x20, [x0]
	ldp	x21, x22, [x0, #16]
	ldp	x23, x24, [x0, #32]
	ldp	x25, x26, [x0, #48]
	ldp	x27, x28, [x0, #64]
	ldp	d8, d9, [x0, #120]
	ldp	d10, d11, [x0, #136]
	ldp	d12, d13, [x0, #152]
	ldp	d14, d15, [x0, #168]
	ldr	x9, [x0, #112]
	adrp	x10, __unwindlab_ssp
	str	x9, [x10, :lo12:__unwindlab_ssp]
	cmp	w1, #0
	csinc	w11, w1, wzr, ne	/* longjmp(buffer, 0) makes setjmp return 1 */
	ldp	x9, x18, [x0, #96]
	ldp	x29, x30, [x0, #80]
	.cfi_remember_state
	.cfi_undefined x30
	mov	sp, x9
	.cfi_restore_state
	mov	w0, w11
	ret
	.cfi_endproc
	.size	longjmp, . - longjmp

	.section .note.GNU-stack, "", %progbits
