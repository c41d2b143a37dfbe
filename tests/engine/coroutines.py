"""A guest of two tasks that switch to each other: each with a stack of its own, in assembly.

``main_task`` runs on the stack of task 0 (``test_main`` moves there and back), calls down to depth 3 and yields to
``other``, which runs on its own stack; either is seen ``blocked`` while the other runs.
"""

from __future__ import annotations

from lab.images.image import Image
from tests.support import assemble

_DATA = """
.data
.balign 16
.globl lab_stacks, lab_task_layout, lab_current, stack_a_top, stack_b_top
lab_stacks:
 .quad stack_a, stack_a_top, 0, 0, 1, task_a
 .quad stack_b, stack_b_top, 0, 0, 1, task_b
 .quad 0, 0, 0, 0, 0, 0
lab_task_layout: .quad 0, 8, 16, 24, 32, 40, 48
lab_current: .quad task_a
task_a: .quad 0, 0, 0, 0, 0, 0, 0, 0
task_b: .quad {b_fp}, {b_sp}, {b_pc}, 0, 0, 0, 0, 0
{frame}
.bss
.balign 4096
gap_0: .skip 4096
stack_a: .skip 8192
stack_a_top: .skip 4096
stack_b: .skip 8192
stack_b_top: .skip 4096
.text
"""

_A64 = """
FUNC test_main
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 mov x19, sp
 ldr x9, =stack_a_top
 mov sp, x9
 bl main_task
 mov sp, x19
 mov w0, #0
 ldp x29, x30, [sp], #16
 ret
END test_main
FUNC main_task
 stp x29, x30, [sp, #-32]!
 mov x29, sp
 str x19, [sp, #16]
 bl down
 bl down
 ldr x19, [sp, #16]
 ldp x29, x30, [sp], #32
 ret
END main_task
FUNC down
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 bl yield_a
 bl yield_a
 ldp x29, x30, [sp], #16
 ret
END down
FUNC yield_a
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 ldr x0, =task_a
 ldr x1, =task_b
 bl switch_to
 ldp x29, x30, [sp], #16
 ret
END yield_a
FUNC other
 stp x29, x30, [sp, #-16]!
 mov x29, sp
again: bl deeper
 b again
END other
FUNC deeper
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 bl yield_b
 ldp x29, x30, [sp], #16
 ret
END deeper
FUNC yield_b
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 ldr x0, =task_b
 ldr x1, =task_a
 bl switch_to
 ldp x29, x30, [sp], #16
 ret
END yield_b
FUNC switch_to
 mov x9, sp
 stp x29, x9, [x0]
 str x30, [x0, #16]
 ldr x10, =lab_current
 str x1, [x10]
 ldp x29, x9, [x1]
 ldr x30, [x1, #16]
 mov sp, x9
.globl lab_switched
lab_switched: ret
END switch_to
"""

_X64 = """
FUNC test_main
 push %rbp
 mov %rsp, %rbp
 lea other(%rip), %rax
 mov %rax, stack_b_top-24(%rip)
 mov %rsp, %rbx
 lea stack_a_top(%rip), %rsp
 call main_task
 mov %rbx, %rsp
 xor %eax, %eax
 pop %rbp
 ret
END test_main
FUNC main_task
 push %rbp
 mov %rsp, %rbp
 call down
 call down
 pop %rbp
 ret
END main_task
FUNC down
 push %rbp
 mov %rsp, %rbp
 call yield_a
 call yield_a
 pop %rbp
 ret
END down
FUNC yield_a
 push %rbp
 mov %rsp, %rbp
 lea task_a(%rip), %rdi
 lea task_b(%rip), %rsi
 call switch_to
 pop %rbp
 ret
END yield_a
FUNC other
 push %rbp
 mov %rsp, %rbp
again: call deeper
 jmp again
END other
FUNC deeper
 push %rbp
 mov %rsp, %rbp
 call yield_b
 pop %rbp
 ret
END deeper
FUNC yield_b
 push %rbp
 mov %rsp, %rbp
 lea task_b(%rip), %rdi
 lea task_a(%rip), %rsi
 call switch_to
 pop %rbp
 ret
END yield_b
FUNC switch_to
 push %rbp
 mov %rsp, 8(%rdi)
 mov %rsi, lab_current(%rip)
 mov 8(%rsi), %rsp
.globl lab_switched
lab_switched: pop %rbp
 ret
END switch_to
"""


def coroutines(arch: str) -> Image:
    """The guest on *arch*.  It makes eight switches, four of them away from task_a."""
    if arch == "aarch64":
        return assemble(arch, _DATA.format(b_fp=0, b_sp="stack_b_top", b_pc="other", frame="") + _A64)
    frame = ".globl lab_switch_frame\nlab_switch_frame: .quad 0, 8\n"
    return assemble(arch, _DATA.format(b_fp=0, b_sp="stack_b_top - 32", b_pc=0, frame=frame) + _X64)
