/*
 * The trampolines of function tracing.  As in Linux none has unwind information: what they save is no frame of a
 * compiler's, and the return address is in x9 alone until the first record is made.
 */
#include "kernel.h"
#include "ftrace.h"

	.section traced, "awx", %progbits	/* makes the text of what can be traced writable */
	nop

	.text
	.macro	code name
	.globl	\name
	.type	\name, %function
	.p2align 2
\name:
	.endm

	.macro	endcode name
	.size	\name, . - \name
	.endm

	/* From a site "mov x9, x30; bl ftrace_caller": x30 is the site, x9 its caller.  Two records, so that both show. */
	code ftrace_caller
	mov	x10, sp
	sub	sp, sp, #FREGS_SIZE + 32
	stp	x0, x1, [sp, #0]
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	str	x8, [sp, #64]
	str	x29, [sp, #FREGS_FP]
	stp	x9, x10, [sp, #FREGS_LR]
	str	x30, [sp, #FREGS_PC]
	stp	x29, x9, [sp, #FREGS_SIZE + 16]
	add	x29, sp, #FREGS_SIZE + 16
	stp	x29, x30, [sp, #FREGS_SIZE]
	add	x29, sp, #FREGS_SIZE
	sub	x0, x30, #4
	mov	x1, sp
	bl	ftrace_func
	ldp	x0, x1, [sp, #0]
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldr	x8, [sp, #64]
	ldr	x29, [sp, #FREGS_FP]
	ldr	x30, [sp, #FREGS_LR]
	ldr	x9, [sp, #FREGS_PC]
	add	sp, sp, #FREGS_SIZE + 32
	ret	x9
	endcode ftrace_caller

	/* A traced function returns here; where it would have returned to is on the return stack alone.  No record. */
	code return_to_handler
	sub	sp, sp, #FREGS_SIZE
	stp	x0, x1, [sp, #0]
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	str	x29, [sp, #FREGS_FP]
	mov	x0, sp
	bl	ftrace_return_to_handler
	mov	x30, x0
	ldp	x0, x1, [sp, #0]
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	add	sp, sp, #FREGS_SIZE
	ret
	endcode return_to_handler

	/* The same for a kretprobe: pt_regs, whose x29 and x30 (which is this address) are the record. */
	code lab_kretprobe_trampoline
	sub	sp, sp, #PT_REGS_SIZE
	stp	x0, x1, [sp, #0]
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x29, x30, [sp, #S_LR - 8]
	add	x29, sp, #S_LR - 8
	mov	x0, sp
	bl	trampoline_probe_handler
	mov	x30, x0
	ldp	x0, x1, [sp, #0]
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldr	x29, [sp, #S_LR - 8]
	add	sp, sp, #PT_REGS_SIZE
	ret
	endcode lab_kretprobe_trampoline

	.section .note.GNU-stack, "", %progbits
