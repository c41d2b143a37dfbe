/*
 * Boot, exceptions, the context switch and what the emulator's host does for the kernel.  Shaped after the x86 kernel
 * (v6.13, arch/x86/entry/entry_64.S: idtentry, ENCODE_FRAME_POINTER, __switch_to_asm, ret_from_fork_asm;
 * asm/irq_stack.h).  __unwindlab_ssp is the shadow-stack pointer of flavours that keep it in memory.
 */
#include "kernel.h"

#define NR_write	1
#define NR_exit_group	231
#define DWARF_RIP	16

	.text
	.globl	lab_kernel_entry	/* from here to the end it is assembly: frames like no compiler's */
lab_kernel_entry:

	.macro	function name
	.globl	\name
	.type	\name, @function
	.p2align 4
\name:
	.cfi_startproc
	.endm

	.macro	endfunction name
	.cfi_endproc
	.size	\name, . - \name
	.endm

	/* The boot task, which becomes the idle task: its own stack with a pt_regs at its top. */
	function _start
	.cfi_undefined rip
	mov	lab_boot_stack_top(%rip), %rsp
	mov	lab_boot_shadow(%rip), %rax
	mov	%rax, __unwindlab_ssp(%rip)
	sub	$PT_REGS_SIZE + 8, %rsp
	.cfi_def_cfa rsp, PT_REGS_SIZE
	lea	1(%rsp), %rbp
	mov	%rsp, %rdi
	call	start_kernel
	mov	%rax, %rdi
	mov	$NR_exit_group, %eax
	syscall
	ud2
	endfunction _start

	function lab_write		/* rdi = bytes, rsi = size; in ring 0 syscall asks the host */
	mov	%rsi, %rdx
	mov	%rdi, %rsi
	mov	$1, %edi
	mov	$NR_write, %eax
	syscall
	ret
	endfunction lab_write

	function lab_exit		/* rdi = status */
	mov	$NR_exit_group, %eax
	syscall
	ud2
	endfunction lab_exit

	/* One word of pt_regs.  What was interrupted in user mode nobody unwinds to. */
	.macro	save user, register
	push	%\register
	.cfi_adjust_cfa_offset 8
	.if	\user == 0
	.cfi_rel_offset \register, 0
	.endif
	.endm

	.macro	restore user, register
	pop	%\register
	.cfi_adjust_cfa_offset -8
	.if	\user == 0
	.cfi_restore \register
	.endif
	.endm

	.macro	save_all user
	.irp	register, rdi, rsi, rdx, rcx, rax, r8, r9, r10, r11, rbx, rbp, r12, r13, r14, r15
	save	\user, \register
	.endr
	.endm

	.macro	begin name, user, words
	.globl	\name
	.type	\name, @function
	.p2align 4
\name:
	.cfi_startproc
	.cfi_signal_frame
	.cfi_def_cfa rsp, \words
	.if	\user == 0
	.cfi_offset DWARF_RIP, -40
	.cfi_offset rsp, -16
	.else
	.cfi_undefined DWARF_RIP
	.endif
	.endm

	/* The task's own pointer while it is in the kernel. */
	.macro	enter_from_user
	mov	lab_current(%rip), %rbx
	mov	__unwindlab_ssp(%rip), %rax
	mov	%rax, TASK_USER_CELL(%rbx)
	mov	TASK_CELL(%rbx), %rax
	mov	%rax, __unwindlab_ssp(%rip)
	.endm

	/* The processor has pushed ss, rsp, rflags, cs, rip; rest of pt_regs, encoded frame pointer, handler. */
	.macro	kernel_entry user, name, handler, exit
	begin	\name, \user, 40
	push	$-1
	.cfi_adjust_cfa_offset 8
	save_all \user
	cld
	.if	\user == 0
	/* A push in memory that was interrupted has written its entry but not moved the pointer: leave it alone. */
	addq	$8, __unwindlab_ssp(%rip)
	.else
	enter_from_user
	.endif
	lea	1(%rsp), %rbp
	mov	%rsp, %rdi
	call	\handler
	jmp	\exit
	endfunction \name
	.endm

	kernel_entry 0, vector_irq, el1_irq, ret_to_kernel
	kernel_entry 0, vector_sync, el1_sync, ret_to_kernel
	kernel_entry 1, vector_irq_user, el0_irq, ret_to_user

	/* A system call: rcx = rip, r11 = rflags, still on the user's stack, interrupts masked. */
	begin	vector_sync_user, 1, 0
	mov	%rsp, lab_user_rsp(%rip)
	mov	lab_tss_rsp0(%rip), %rsp
	push	$USER_DS
	.cfi_adjust_cfa_offset 8
	push	lab_user_rsp(%rip)
	.cfi_adjust_cfa_offset 8
	push	%r11
	.cfi_adjust_cfa_offset 8
	push	$USER_CS
	.cfi_adjust_cfa_offset 8
	push	%rcx
	.cfi_adjust_cfa_offset 8
	push	%rax
	.cfi_adjust_cfa_offset 8
	save_all 1
	cld
	enter_from_user
	lea	1(%rsp), %rbp
	mov	%rsp, %rdi
	call	el0_sync
	jmp	ret_to_user
	endfunction vector_sync_user

	/* Interrupts are masked, RSP is at pt_regs: go on where the exception was taken. */
	.macro	kernel_exit user, name
	begin	\name, \user, PT_REGS_SIZE
	.if	\user == 0
	.cfi_rel_offset r15, 0
	.cfi_rel_offset r14, 8
	.cfi_rel_offset r13, 16
	.cfi_rel_offset r12, 24
	.cfi_rel_offset rbp, 32
	.cfi_rel_offset rbx, 40
	.cfi_rel_offset r11, 48
	.cfi_rel_offset r10, 56
	.cfi_rel_offset r9, 64
	.cfi_rel_offset r8, 72
	.cfi_rel_offset rax, 80
	.cfi_rel_offset rcx, 88
	.cfi_rel_offset rdx, 96
	.cfi_rel_offset rsi, 104
	.cfi_rel_offset rdi, 112
	subq	$8, __unwindlab_ssp(%rip)
	.else
	mov	lab_current(%rip), %rbx
	mov	__unwindlab_ssp(%rip), %rax
	mov	%rax, TASK_CELL(%rbx)
	mov	TASK_USER_CELL(%rbx), %rax
	mov	%rax, __unwindlab_ssp(%rip)
	.endif
	.irp	register, r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi
	restore	\user, \register
	.endr
	add	$8, %rsp
	.cfi_adjust_cfa_offset -8
	iretq
	endfunction \name
	.endm

	kernel_exit 0, ret_to_kernel
	kernel_exit 1, ret_to_user

	/* rdi = regs, rsi = handler: call it on the IRQ stack with the IRQ's shadow stack.  The topmost word of the IRQ
	   stack holds the stack pointer it was entered with. */
	function call_on_irq_stack
	push	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
	mov	%rsp, %rbp
	.cfi_def_cfa_register rbp
	mov	lab_current(%rip), %rax
	mov	__unwindlab_ssp(%rip), %rdx
	mov	%rdx, TASK_CELL(%rax)
	mov	lab_irq_shadow(%rip), %rdx
	mov	%rdx, __unwindlab_ssp(%rip)
	mov	lab_irq_stack_top(%rip), %rax
	mov	%rsp, -8(%rax)
	lea	-8(%rax), %rsp
	call	*%rsi
	pop	%rsp
	.cfi_def_cfa_register rsp
	pop	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbp
	mov	lab_current(%rip), %rax
	mov	TASK_CELL(%rax), %rdx
	mov	%rdx, __unwindlab_ssp(%rip)
	ret
	endfunction call_on_irq_stack

	/* rdi = prev, rsi = next; returns prev in the next task.  inactive_task_frame is pushed here. */
	.globl	lab_switched
	function cpu_switch_to
	save	0, rbp
	save	0, rbx
	save	0, r12
	save	0, r13
	save	0, r14
	save	0, r15
	mov	__unwindlab_ssp(%rip), %rax
	mov	%rax, TASK_CELL(%rdi)
	mov	TASK_CELL(%rsi), %rax
	mov	%rax, __unwindlab_ssp(%rip)
	mov	%rsp, TASK_SP(%rdi)
	mov	TASK_SP(%rsi), %rsp
lab_switched:
	mov	%rsi, lab_current(%rip)
	mov	TASK_TOP(%rsi), %rax
	mov	%rax, lab_tss_rsp0(%rip)
	restore	0, r15
	restore	0, r14
	restore	0, r13
	restore	0, r12
	restore	0, rbx
	restore	0, rbp
	mov	%rdi, %rax
	ret
	endfunction cpu_switch_to

	/* Where a new task begins: rbx = what it runs, 0 for a task that goes to user mode with its pt_regs. */
	function ret_from_fork
	.cfi_def_cfa rsp, PT_REGS_SIZE
	.cfi_undefined rip
	call	schedule_tail
	test	%rbx, %rbx
	jz	1f
	call	*%rbx
	ud2
1:	cli
	jmp	ret_to_user
	endfunction ret_from_fork

	/* In user mode.  rdi = number, rsi = argument. */
	function user_call
	mov	%rdi, %rax
	mov	%rsi, %rdi
	syscall
	ret
	endfunction user_call

	.globl	lab_kernel_text_end
lab_kernel_text_end:

	/* What the processor looks up: RSP0 of the task state segment, and the descriptors (SDM vol. 3, 3.4.5):
	   code and data of ring 0, data and code of ring 3. */
	.data
	.globl	lab_tss_rsp0, lab_gdt, lab_gdt_end
	.p2align 3
lab_tss_rsp0:
	.quad	0
lab_user_rsp:
	.quad	0
lab_gdt:
	.quad	0, 0
	.quad	0x00af9b000000ffff
	.quad	0x00cff3000000ffff
	.quad	0x00affb000000ffff
	.quad	0x00cf93000000ffff
lab_gdt_end:

	.section .note.GNU-stack, "", @progbits
