/*
 * Entry and system calls.  x86 has no metadata frame record: its unwinder knows the task's pt_regs by address.  The
 * lab's own record {0, 0, 1} lies in the 32 bytes below the initial stack pointer, rbp points at it, and a plain
 * walk meets an all-zero frame record there.
 */
#define FINAL_RECORD	32
#define FRAME_META_FINAL	1
#define NR_write	1
#define NR_exit_group	231

	.text
	.globl	_start
	.type	_start, @function
	.p2align 4
_start:
	.cfi_startproc
	.cfi_def_cfa rsp, 0	/* entered by the kernel: nothing was pushed */
	.cfi_undefined rip
	sub	$FINAL_RECORD, %rsp
	.cfi_adjust_cfa_offset FINAL_RECORD
	movq	$0, (%rsp)
	movq	$0, 8(%rsp)
	movq	$FRAME_META_FINAL, 16(%rsp)
	mov	%rsp, %rbp
	call	lab_start
	mov	%rax, %rdi
	mov	$NR_exit_group, %eax
	syscall
	ud2
	.cfi_endproc
	.size	_start, . - _start

	.globl	lab_write
	.type	lab_write, @function
	.p2align 4
lab_write:			/* rdi = bytes, rsi = size */
	.cfi_startproc
	mov	%rsi, %rdx
	mov	%rdi, %rsi
	mov	$1, %edi
	mov	$NR_write, %eax
	syscall
	ret
	.cfi_endproc
	.size	lab_write, . - lab_write

	.globl	lab_exit
	.type	lab_exit, @function
	.p2align 4
lab_exit:			/* rdi = status */
	.cfi_startproc
	mov	$NR_exit_group, %eax
	syscall
	ud2
	.cfi_endproc
	.size	lab_exit, . - lab_exit

	.section .note.GNU-stack, "", @progbits
