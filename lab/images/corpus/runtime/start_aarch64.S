/*
 * Entry and system calls.  _start looks like a task's entry in the arm64 kernel (v6.13, entry.S kernel_entry and
 * process.c copy_thread): the task's own pt_regs at the top of its stack, in it the FINAL metadata frame record
 * {0, 0, 1}, x29 pointing at the record, and the first C function called from there.  The other words of the
 * pt_regs stay as the environment left them: no unwinder reads them.
 */
#define PT_REGS_SIZE	336
#define STACKFRAME	296
#define FRAME_META_FINAL	1
#define NR_write	64
#define NR_exit_group	94

	.text
	.globl	_start
	.type	_start, %function
	.p2align 2
_start:
	.cfi_startproc
	.cfi_undefined x30
	sub	sp, sp, #PT_REGS_SIZE
	.cfi_def_cfa_offset PT_REGS_SIZE
	stp	xzr, xzr, [sp, #STACKFRAME]
	mov	x0, #FRAME_META_FINAL
	str	x0, [sp, #STACKFRAME + 16]
	add	x29, sp, #STACKFRAME
	bl	lab_start
	mov	x8, #NR_exit_group
	svc	#0
	brk	#0
	.cfi_endproc
	.size	_start, . - _start

	.globl	lab_write
	.type	lab_write, %function
	.p2align 2
lab_write:			/* x0 = bytes, x1 = size */
	.cfi_startproc
	mov	x2, x1
	mov	x1, x0
	mov	x0, #1
	mov	x8, #NR_write
	svc	#0
	ret
	.cfi_endproc
	.size	lab_write, . - lab_write

	.globl	lab_exit
	.type	lab_exit, %function
	.p2align 2
lab_exit:			/* x0 = status */
	.cfi_startproc
	mov	x8, #NR_exit_group
	svc	#0
	brk	#0
	.cfi_endproc
	.size	lab_exit, . - lab_exit

	.section .note.GNU-stack, "", %progbits
