/*
 * The trampolines of function tracing.  The frames are those of CONFIG_FRAME_POINTER; ftrace_caller and the
 * kretprobe trampoline have the unwind information that objtool makes of them, return_to_handler has none.
 */
#include "kernel.h"
#include "ftrace.h"

	.section traced, "awx", @progbits	/* makes the text of what can be traced writable */
	nop

	.text
	.macro	code name
	.globl	\name
	.type	\name, @function
	.p2align 4
\name:
	.endm

	.macro	endcode name
	.size	\name, . - \name
	.endm

	/* From a site "call ftrace_caller" before the function's prologue: [rsp] is the site, [rsp + 8] its caller. */
	code ftrace_caller
	.cfi_startproc
	push	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset rbp, -16
	push	16(%rsp)
	.cfi_def_cfa_offset 24
	push	%rbp
	.cfi_def_cfa_offset 32
	mov	%rsp, %rbp
	push	24(%rsp)
	.cfi_def_cfa_offset 40
	push	%rbp
	.cfi_def_cfa_offset 48
	mov	%rsp, %rbp
	sub	$FREGS_SIZE, %rsp
	.cfi_def_cfa_offset 48 + FREGS_SIZE
	mov	%rax, 0(%rsp)
	mov	%rcx, 8(%rsp)
	mov	%rdx, 16(%rsp)
	mov	%rsi, 24(%rsp)
	mov	%rdi, 32(%rsp)
	mov	%r8, 40(%rsp)
	mov	%r9, 48(%rsp)
	mov	FREGS_SIZE + 32(%rsp), %rdx
	mov	%rdx, FREGS_FP(%rsp)
	lea	FREGS_SIZE + 48(%rsp), %rdx
	mov	%rdx, FREGS_SP(%rsp)
	mov	FREGS_SIZE + 40(%rsp), %rdi
	mov	%rdi, FREGS_PC(%rsp)
	sub	$5, %rdi
	mov	%rsp, %rsi
	call	ftrace_func
	mov	FREGS_FP(%rsp), %rbp
	.cfi_restore rbp
	mov	48(%rsp), %r9
	mov	40(%rsp), %r8
	mov	32(%rsp), %rdi
	mov	24(%rsp), %rsi
	mov	16(%rsp), %rdx
	mov	8(%rsp), %rcx
	mov	0(%rsp), %rax
	add	$FREGS_SIZE + 40, %rsp
	.cfi_def_cfa_offset 8
	ret
	.cfi_endproc
	endcode ftrace_caller

	/* A traced function returns here; where it would have returned to is on the return stack alone.  As up to v6.17, it
	   is not unwound through: the slot that held this address is given up. */
	code return_to_handler
	sub	$FREGS_SIZE + 8, %rsp
	mov	%rax, 0(%rsp)
	mov	%rdx, 16(%rsp)
	mov	%rbp, FREGS_FP(%rsp)
	mov	%rsp, %rdi
	call	ftrace_return_to_handler
	mov	%rax, %rdi
	mov	16(%rsp), %rdx
	mov	0(%rsp), %rax
	add	$FREGS_SIZE + 8, %rsp
	jmp	*%rdi
	endcode return_to_handler

	/* The same for a kretprobe (rethook): its address as if it had been called, and an encoded pt_regs. */
	code lab_kretprobe_trampoline
	push	$lab_kretprobe_trampoline
	.cfi_startproc
	push	$KERNEL_CS + 8
	.cfi_def_cfa_offset 16
	push	%rsp
	.cfi_def_cfa_offset 24
	pushfq
	.cfi_def_cfa_offset 32
	sub	$PT_REGS_SIZE - 24, %rsp
	.cfi_def_cfa_offset 8 + PT_REGS_SIZE
	mov	%rax, 80(%rsp)
	mov	%rdx, 96(%rsp)
	mov	%rbp, 32(%rsp)
	movq	$KERNEL_CS, 136(%rsp)
	movq	$lab_kretprobe_trampoline, 128(%rsp)
	.cfi_rel_offset rbp, 32
	lea	1(%rsp), %rbp
	mov	%rsp, %rdi
	call	trampoline_probe_handler
	mov	%rax, PT_REGS_SIZE(%rsp)
	mov	80(%rsp), %rax
	mov	96(%rsp), %rdx
	mov	32(%rsp), %rbp
	.cfi_restore rbp
	add	$PT_REGS_SIZE, %rsp
	.cfi_def_cfa_offset 8
	ret
	.cfi_endproc
	endcode lab_kretprobe_trampoline

	.section .note.GNU-stack, "", %progbits
