/*
 * Boot, exceptions, the context switch and what the emulator's host does for the kernel.  Shaped after the arm64
 * kernel (v6.13, arch/arm64/kernel/entry.S: kernel_entry, kernel_exit, call_on_irq_stack, cpu_switch_to,
 * ret_from_fork); x18 is the shadow-stack pointer as there, __unwindlab_ssp the one of flavours that keep it in memory.
 *
 * The frames of exceptions are signal frames with the return address in column 32 (PC; DWARF for the Arm 64-bit
 * Architecture, 4.1): column 30 keeps the interrupted x30, which an interrupted leaf returns to.  What fills paciasp
 * and autiasp by reading .eh_frame wants no such frames, and the arm64 kernel's entry code has none: with
 * LAB_PATCHABLE this file's go to .debug_frame.
 */
#include "kernel.h"

#define DWARF_PC	32
#define DWARF_ELR	33
#define NR_write	64
#define NR_exit_group	94

#ifdef LAB_PATCHABLE
	.cfi_sections .debug_frame
#endif

	.text
	.globl	lab_kernel_entry	/* from here to the end it is assembly: what keeps x18 right */
lab_kernel_entry:

	.macro	function name
	.globl	\name
	.type	\name, %function
	.p2align 2
\name:
	.cfi_startproc
	.endm

	.macro	endfunction name
	.cfi_endproc
	.size	\name, . - \name
	.endm

	/* The boot task, which becomes the idle task: its own stack, FINAL record in its own pt_regs. */
	function _start
	.cfi_undefined x30
	adrp	x0, lab_boot_stack_top
	ldr	x0, [x0, :lo12:lab_boot_stack_top]; mov sp, x0
	adrp	x0, lab_boot_shadow
	ldr	x18, [x0, :lo12:lab_boot_shadow]
	adrp	x0, __unwindlab_ssp
	str	x18, [x0, :lo12:__unwindlab_ssp]
	sub	sp, sp, #PT_REGS_SIZE
	.cfi_def_cfa_offset PT_REGS_SIZE
	stp	xzr, xzr, [sp, #S_STACKFRAME]
	mov	x0, #FRAME_META_FINAL
	str	x0, [sp, #S_TYPE]
	add	x29, sp, #S_STACKFRAME
	mov	x0, sp
	bl	start_kernel
	mov	x8, #NR_exit_group
	svc	#0; brk #0
	endfunction _start

	function lab_write		/* x0 = bytes, x1 = size; at EL1 svc asks the host */
	mov	x2, x1; mov x1, x0
	mov	x0, #1
	mov	x8, #NR_write
	svc	#0
	ret
	endfunction lab_write

	function lab_exit		/* x0 = status */
	mov	x8, #NR_exit_group
	svc	#0; brk #0
	endfunction lab_exit

	/* Two registers of pt_regs.  What was interrupted in user mode nobody unwinds to. */
	.macro	save el, first, second, at
	stp	\first, \second, [sp, #\at]
	.if	\el == 1
	.cfi_rel_offset \first, \at
	.cfi_rel_offset \second, \at + 8
	.endif
	.endm

	.macro	restore el, first, second, at
	ldp	\first, \second, [sp, #\at]
	.if	\el == 1
	.cfi_restore \first
	.cfi_restore \second
	.endif
	.endm

	/* save or restore x0 to x29. */
	.macro	pairs what, el
	\what \el, x0, x1, 0; \what \el, x2, x3, 16; \what \el, x4, x5, 32
	\what \el, x6, x7, 48; \what \el, x8, x9, 64; \what \el, x10, x11, 80
	\what \el, x12, x13, 96; \what \el, x14, x15, 112; \what \el, x16, x17, 128
	\what \el, x18, x19, 144; \what \el, x20, x21, 160; \what \el, x22, x23, 176
	\what \el, x24, x25, 192; \what \el, x26, x27, 208; \what \el, x28, x29, 224
	.endm

	/* An exception's frame. */
	.macro	begin name, align
	.globl	\name
	.type	\name, %function
	.p2align \align
\name:
	.cfi_startproc
	.cfi_signal_frame
	.cfi_return_column DWARF_PC
	.endm

	/* Where an exception continues: pt_regs with its metadata record, x29 at the record, the handler called. */
	.macro	kernel_entry el, name, handler, exit
	begin	\name, 7
	.if	\el == 1
	.cfi_register DWARF_PC, DWARF_ELR
	.else
	.cfi_undefined DWARF_PC
	.endif
	sub	sp, sp, #PT_REGS_SIZE
	.cfi_def_cfa_offset PT_REGS_SIZE
	pairs	save, \el
	adrp	x20, __unwindlab_ssp
	ldr	x19, [x20, :lo12:__unwindlab_ssp]
	.if	\el == 1
	/* A push in memory that was interrupted has written its entry but not moved the pointer: leave it alone. */
	add	x19, x19, #8
	add	x21, sp, #PT_REGS_SIZE
	.else
	adrp	x21, lab_current
	ldr	x21, [x21, :lo12:lab_current]
	str	x19, [x21, #TASK_USER_CELL]
	ldr	x19, [x21, #TASK_CELL]
	ldr	x18, [x21, #TASK_SSP]
	mrs	x21, sp_el0
	.endif
	str	x19, [x20, :lo12:__unwindlab_ssp]
	mrs	x22, elr_el1
	mrs	x23, spsr_el1
	stp	x30, x21, [sp, #S_LR]
	.if	\el == 1
	.cfi_rel_offset x30, S_LR
	.endif
	stp	x22, x23, [sp, #S_PC]
	.if	\el == 1
	.cfi_rel_offset DWARF_PC, S_PC
	.endif
	mov	x24, #-1
	str	x24, [sp, #S_SYSCALLNO]
	stp	xzr, xzr, [sp, #S_STACKFRAME]
	.if	\el == 1
	mov	x24, #FRAME_META_PT_REGS
	.else
	mov	x24, #FRAME_META_FINAL
	.endif
	str	x24, [sp, #S_TYPE]
	add	x29, sp, #S_STACKFRAME
	mov	x0, sp
	bl	\handler
	b	\exit
	endfunction \name
	.endm

	kernel_entry 1, vector_irq, el1_irq, ret_to_kernel
	kernel_entry 1, vector_sync, el1_sync, ret_to_kernel
	kernel_entry 0, vector_irq_user, el0_irq, ret_to_user
	kernel_entry 0, vector_sync_user, el0_sync, ret_to_user

	/* Interrupts are masked, SP is at pt_regs: go on where the exception was taken. */
	.macro	kernel_exit el, name
	begin	\name, 2
	.cfi_def_cfa sp, PT_REGS_SIZE
	.if	\el == 1
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
	.cfi_rel_offset x\n, 8 * \n
	.endr
	.cfi_rel_offset DWARF_PC, S_PC
	.else
	.cfi_undefined DWARF_PC
	.endif
	adrp	x20, __unwindlab_ssp
	ldr	x19, [x20, :lo12:__unwindlab_ssp]
	.if	\el == 1
	sub	x19, x19, #8
	.else
	adrp	x21, lab_current
	ldr	x21, [x21, :lo12:lab_current]
	str	x19, [x21, #TASK_CELL]
	str	x18, [x21, #TASK_SSP]
	ldr	x19, [x21, #TASK_USER_CELL]
	ldr	x21, [sp, #S_SP]
	msr	sp_el0, x21
	.endif
	str	x19, [x20, :lo12:__unwindlab_ssp]
	ldp	x21, x22, [sp, #S_PC]
	msr	elr_el1, x21
	msr	spsr_el1, x22
	.if	\el == 1
	.cfi_register DWARF_PC, DWARF_ELR
	.endif
	pairs	restore, \el
	ldr	x30, [sp, #S_LR]
	.if	\el == 1
	.cfi_restore x30
	.endif
	add	sp, sp, #PT_REGS_SIZE
	.cfi_def_cfa_offset 0
	eret
	endfunction \name
	.endm

	kernel_exit 1, ret_to_kernel
	kernel_exit 0, ret_to_user

	/* x0 = regs, x1 = handler: call it on the IRQ stack with the IRQ's shadow stack. */
	function call_on_irq_stack
	stp	x29, x30, [sp, #-16]!
	.cfi_def_cfa_offset 16
	.cfi_offset x29, -16
	.cfi_offset x30, -8
	mov	x29, sp
	.cfi_def_cfa x29, 16
	adrp	x16, lab_current
	ldr	x16, [x16, :lo12:lab_current]
	adrp	x17, __unwindlab_ssp
	ldr	x15, [x17, :lo12:__unwindlab_ssp]
	str	x15, [x16, #TASK_CELL]
	str	x18, [x16, #TASK_SSP]
	adrp	x15, lab_irq_shadow
	ldr	x18, [x15, :lo12:lab_irq_shadow]
	str	x18, [x17, :lo12:__unwindlab_ssp]
	adrp	x15, lab_irq_stack_top
	ldr	x15, [x15, :lo12:lab_irq_stack_top]
	mov	sp, x15
	blr	x1
	mov	sp, x29
	.cfi_def_cfa sp, 16
	ldp	x29, x30, [sp], #16
	.cfi_def_cfa_offset 0
	.cfi_restore x29
	.cfi_restore x30
	adrp	x16, lab_current
	ldr	x16, [x16, :lo12:lab_current]
	adrp	x17, __unwindlab_ssp
	ldr	x15, [x16, #TASK_CELL]
	str	x15, [x17, :lo12:__unwindlab_ssp]
	ldr	x18, [x16, #TASK_SSP]
	ret
	endfunction call_on_irq_stack

	/* x0 = prev, x1 = next; returns prev in the next task.  Until x30 and sp are next's, the caller is prev's; with
	   both, "return to x30 with this sp" is true again. */
	.globl	lab_switched
	function cpu_switch_to
	mov	x9, sp
	stp x19, x20, [x0, #0]; stp x21, x22, [x0, #16]; stp x23, x24, [x0, #32]
	stp x25, x26, [x0, #48]; stp x27, x28, [x0, #64]
	stp	x29, x9, [x0, #TASK_FP]
	stp	x30, x18, [x0, #TASK_PC]
	adrp	x10, __unwindlab_ssp
	ldr	x11, [x10, :lo12:__unwindlab_ssp]
	str	x11, [x0, #TASK_CELL]
	ldr	x11, [x1, #TASK_CELL]
	str	x11, [x10, :lo12:__unwindlab_ssp]
	ldp x19, x20, [x1, #0]; ldp x21, x22, [x1, #16]; ldp x23, x24, [x1, #32]
	ldp x25, x26, [x1, #48]; ldp x27, x28, [x1, #64]
	ldr	x9, [x1, #TASK_SP]
	ldr	x29, [x1, #TASK_FP]
	ldp	x30, x18, [x1, #TASK_PC]
	.cfi_remember_state
	.cfi_undefined x30
	mov	sp, x9
	.cfi_restore_state
lab_switched:
	adrp	x9, lab_current
	str	x1, [x9, :lo12:lab_current]
	ret
	endfunction cpu_switch_to

	/* Where a new task begins: x19 = what it runs, 0 for a task that goes to user mode with its pt_regs. */
	function ret_from_fork
	.cfi_def_cfa_offset PT_REGS_SIZE
	.cfi_undefined x30
	bl	schedule_tail
	cbz	x19, 1f
	blr	x19
	brk	#0
1:	msr	daifset, #2
	b	ret_to_user
	endfunction ret_from_fork

	/* In user mode.  x0 = number, x1 = argument. */
	function user_call
	mov	x8, x0; mov x0, x1
	svc	#0
	ret
	endfunction user_call

	.globl	lab_kernel_text_end
lab_kernel_text_end:

	.section .note.GNU-stack, "", %progbits
