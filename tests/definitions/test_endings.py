"""definitions: Truth, how an activation ends: returns of every kind, longjmp, a throw, and what is no landing."""

from __future__ import annotations

import pytest

from tests.definitions.watching import CALLER, RA, at, main_ra, watch
from tests.support import ARCH_NAMES


def test_it_does_not_end_when_a_ret_retires() -> None:
    """return_to_handler: the callee's ret goes to a trampoline, which only then branches to the caller."""
    body = """
FUNC callee
        adr x9, handler
        mov x10, x30
        mov x30, x9
        ret
END callee
FUNC handler
        nop
        mov x30, x10
        ret
END handler
"""
    seen = watch("aarch64", CALLER["aarch64"] + body)
    assert at(seen, "handler+0x0") == (RA["aarch64"], main_ra("aarch64"))
    assert at(seen, "handler+0x8") == (RA["aarch64"], main_ra("aarch64"))
    assert at(seen, RA["aarch64"]) == (main_ra("aarch64"),)


def test_return_to_handler_and_kretprobe_trampolines_on_x86() -> None:
    body = """
FUNC callee
        mov (%rsp), %r10
        lea handler(%rip), %r11
        mov %r11, (%rsp)
        ret
END callee
FUNC handler
        push %r10
        ret
END handler
"""
    seen = watch("x86_64", CALLER["x86_64"] + body)
    assert at(seen, "handler+0x0") == (RA["x86_64"], main_ra("x86_64"))
    assert at(seen, RA["x86_64"]) == (main_ra("x86_64"),)


def test_pop_jmp_comes_out_right() -> None:
    seen = watch("x86_64", CALLER["x86_64"] + "FUNC callee\n pop %r10\n nop\n jmp *%r10\nEND callee\n")
    assert at(seen, "callee+0x2")[0] == RA["x86_64"], "between pop and jmp the return address is live"
    assert at(seen, RA["x86_64"]) == (main_ra("x86_64"),)


def test_ret_through_another_register_comes_out_right() -> None:
    seen = watch("aarch64", CALLER["aarch64"] + "FUNC callee\n mov x15, x30\n mov x30, #0\n ret x15\nEND callee\n")
    assert at(seen, "callee+0x8")[0] == RA["aarch64"]
    assert at(seen, RA["aarch64"]) == (main_ra("aarch64"),)


LONGJMP = {
    "aarch64": """
FUNC test_main
        stp x29, x30, [sp, #-32]!
        bl save
        cbnz w0, 1f
        bl middle
1:      mov w0, #0
        ldp x29, x30, [sp], #32
        ret
END test_main
FUNC save
        mov x20, sp
        mov x21, x30
        mov w0, #0
        ret
END save
FUNC middle
        stp x29, x30, [sp, #-16]!
        bl jump
        brk #0
END middle
FUNC jump
        mov w0, #1
        mov sp, x20
        br x21
END jump
""",
    "x86_64": """
FUNC test_main
        push %rbp
        call save
        test %eax, %eax
        jne 1f
        call middle
1:      xor %eax, %eax
        pop %rbp
        ret
END test_main
FUNC save
        lea 8(%rsp), %rbx
        mov (%rsp), %r12
        xor %eax, %eax
        ret
END save
FUNC middle
        push %rbp
        call jump
        ud2
END middle
FUNC jump
        mov $1, %eax
        mov %rbx, %rsp
        jmp *%r12
END jump
""",
}
SECOND = {"aarch64": ("test_main+0x10", "jump+0x0"), "x86_64": ("test_main+0xf", "jump+0x0")}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_longjmp_comes_out_right_although_sp_only_returns_to_where_it_was_at_the_call(arch: str) -> None:
    seen = watch(arch, LONGJMP[arch])
    after, inside = SECOND[arch]
    assert len(at(seen, inside)) == 3
    assert at(seen, after) == (main_ra(arch),), "middle was jumped out of: it is not live in its caller"


THROW = {
    "aarch64": CALLER["aarch64"].replace("mov w0, #0", "brk #0\n mov w0, #0")
    + "FUNC callee\n stp x29, x30, [sp, #-16]!\n ldr x9, [sp, #8]\n add sp, sp, #16\n"
    + " add x9, x9, #4\n br x9\nEND callee\n",
    "x86_64": CALLER["x86_64"].replace("xor %eax", "ud2\n xor %eax")
    + "FUNC callee\n pop %r10\n add $2, %r10\n jmp *%r10\nEND callee\n",
}
PAD = {"aarch64": "test_main+0xc", "x86_64": "test_main+0x8"}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_throw_comes_out_right_at_its_landing_pad(arch: str) -> None:
    assert at(watch(arch, THROW[arch]), PAD[arch]) == (main_ra(arch),)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_recursion_and_jumps_inside_the_callee_are_no_landing(arch: str) -> None:
    body = {
        "aarch64": """
FUNC test_main
        b 2f
1:      ret
2:      cmp w19, #3
        b.eq 1b
        add w19, w19, #1
        stp x29, x30, [sp, #-16]!
        bl test_main
        ldp x29, x30, [sp], #16
        mov w0, #0
        b 1b
END test_main
""",
        "x86_64": """
FUNC test_main
        jmp 2f
1:      ret
2:      xor %eax, %eax
        cmp $3, %ebx
        je 1b
        inc %ebx
        call test_main
        jmp 1b
END test_main
""",
    }[arch]
    depths = [len(trace) for where, trace in watch(arch, body) if where == "test_main+0x0"]
    assert depths == [1, 2, 3, 4]


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_call_of_another_function_that_lies_next_is_no_return(arch: str) -> None:
    """A function that never comes back, called last and lying directly behind its caller: here it leaves by exit."""
    leave = {
        "aarch64": " mov x0, #0\n mov x8, #94\n svc #0\n",
        "x86_64": " xor %edi, %edi\n mov $231, %eax\n syscall\n",
    }[arch]
    call = {"aarch64": "bl", "x86_64": "call"}[arch]
    last = f".globl last\n.type last,%function\nlast: nop\n{leave}.size last,.-last\n"
    body = f"FUNC callee\n {call} last\nEND callee\n{last}"
    seen = watch(arch, CALLER[arch] + body)
    (trace,) = [trace for where, trace in seen if where == "last+0x0"]
    assert trace == ("last+0x0", RA[arch], main_ra(arch))
    assert len(seen[-1][1]) == 3, "and it is live to the end"


def test_a_call_within_a_function_of_what_follows_is_over_at_once_on_aarch64() -> None:
    body = "FUNC callee\n mov x9, x30\n bl 1f\n1: mov x30, x9\n ret\nEND callee\n"
    seen = watch("aarch64", CALLER["aarch64"] + body)
    assert at(seen, "callee+0x8") == (RA["aarch64"], main_ra("aarch64"))
