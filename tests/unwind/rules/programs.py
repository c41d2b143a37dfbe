"""Small guests that the rules have something to say about."""

from __future__ import annotations

from lab.images.image import Image
from tests.support import assemble, compile_c

DEPTH = 105

RECURSION = """
__attribute__((noinline)) static long down(long n) { long r = n ? down(n - 1) : 0; __asm__ volatile(""); return r + 1; }
int test_main(void) { return down(%d) != %d; }
"""

#: test_main calls `outer`, whose record leads to a pt_regs, as if its caller had been interrupted in test_main.
_PT_REGS = {
    "aarch64": """
FUNC test_main
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 sub sp, sp, #336
 str x29, [sp, #232]
 adr x9, interrupted
 str x9, [sp, #256]
 mov x9, #{state}
 str x9, [sp, #264]
 stp xzr, xzr, [sp, #296]
 mov x9, #2
 str x9, [sp, #312]
 add x29, sp, #296
 bl outer
interrupted:
 add sp, sp, #336
 ldp x29, x30, [sp], #16
 mov w0, #0
 ret
END test_main
FUNC outer
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 bl inner
 ldp x29, x30, [sp], #16
 ret
END outer
FUNC inner
 ret
END inner
""",
    "x86_64": """
FUNC test_main
 push %rbp
 mov %rsp, %rbp
 sub $168, %rsp
 mov %rbp, 32(%rsp)
 lea interrupted(%rip), %rax
 mov %rax, 128(%rsp)
 movq ${state}, 136(%rsp)
 lea 1(%rsp), %rbp
 call outer
interrupted:
 add $168, %rsp
 pop %rbp
 xor %eax, %eax
 ret
END test_main
FUNC outer
 push %rbp
 mov %rsp, %rbp
 call inner
 pop %rbp
 ret
END outer
FUNC inner
 ret
END inner
""",
}
KERNEL, USER = {"aarch64": 5, "x86_64": 16}, {"aarch64": 0, "x86_64": 51}
"""PSTATE.M, or the selector in cs."""

#: Sets and clears a word as preempt_schedule_irq does its flag, with a call before, between and after.
_FLAG = {
    "aarch64": """
FUNC test_main
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 bl before
 adrp x9, flags
 add x9, x9, :lo12:flags
 mov x10, #1
 str x10, [x9]
 bl between
 adrp x9, flags
 add x9, x9, :lo12:flags
 str xzr, [x9]
 bl after
 ldp x29, x30, [sp], #16
 mov w0, #0
 ret
END test_main
FUNC before
 ret
END before
FUNC between
 ret
END between
FUNC after
 ret
END after
.data
.p2align 3
.globl flags
flags: .quad 0
""",
    "x86_64": """
FUNC test_main
 push %rbp
 mov %rsp, %rbp
 call before
 movq $1, flags(%rip)
 call between
 movq $0, flags(%rip)
 call after
 pop %rbp
 xor %eax, %eax
 ret
END test_main
FUNC before
 ret
END before
FUNC between
 ret
END between
FUNC after
 ret
END after
.data
.p2align 3
.globl flags
flags: .quad 0
""",
}


def recursion(arch: str) -> Image:
    """Recursion to DEPTH below test_main."""
    return compile_c(arch, RECURSION % (DEPTH, DEPTH + 1), "-fno-optimize-sibling-calls")


def through_pt_regs(arch: str, state: dict[str, int]) -> Image:
    """A trace through a pt_regs whose saved processor state is *state*."""
    return assemble(arch, _PT_REGS[arch].replace("{state}", str(state[arch])))


def flagged(arch: str) -> Image:
    """A word `flags` that is set for a while."""
    return assemble(arch, _FLAG[arch])
