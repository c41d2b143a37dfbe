"""Everything that is not understood is left out, with its reason."""

from __future__ import annotations

import pytest

from tests.rewriters.census.asm import A64, X86, body_of, look, reason_of

A64_TEXT = """
FUNC leaf
 ret
END leaf
FUNC sp_lost
 sub sp, sp, x0
 ret
END sp_lost
FUNC sp_down
 sub sp, sp, #16
 ret
END sp_down
FUNC sp_up
 add sp, sp, #16
 ret
END sp_up
FUNC lr_lost
 ldr x30, [x0]
 ret
END lr_lost
FUNC lr_called
 bl leaf
 ret
END lr_called
FUNC wrong_register
 ret x3
END wrong_register
FUNC which_jump
 add x1, x0, x2
 br x1
END which_jump
FUNC which_pointer
 ldr x1, [x0]
 br x1
 mov x0, #1
 ret
END which_pointer
FUNC wild
 cbz x0, 1f
 ret
1: .inst 0x00ffffff
END wild
FUNC pool
 ldr x0, 1f
 cbz x0, 1f
 ret
 .balign 8
1: .quad 0
END pool
FUNC pool_beside
 ldr x0, 1f
 ret
 .balign 8
1: .quad 0
END pool_beside
FUNC falls
 mov x0, #1
END falls
FUNC after_falls
 ret
END after_falls
FUNC switches
 ldr x1, [x0]
 mov sp, x1
 ret
END switches
FUNC unwinds
 stp x29, x30, [sp, #-32]!
 ldp x29, x30, [sp], #32
 add sp, sp, x5
 ret
END unwinds
FUNC unreached
 ret
 b leaf
END unreached
FUNC frame_up_out
 sub sp, sp, #16
 b nobody
END frame_up_out
FUNC calls_inside
 bl 1f
 ret
1: ret
END calls_inside
FUNC exception
 eret
END exception
nobody: ret
"""
X86_TEXT = """
FUNC leaf
 ret
END leaf
FUNC sp_lost
 sub %rdi, %rsp
 ret
END sp_lost
FUNC sp_down
 push %rax
 ret
END sp_down
FUNC sp_up
 pop %rcx
 jmp *%rcx
END sp_up
FUNC slot_written
 mov %rdi, (%rsp)
 ret
END slot_written
FUNC slot_written_framed
 push %rbp
 mov %rsp, %rbp
 mov %rdi, 8(%rbp)
 leave
 ret
END slot_written_framed
FUNC which_jump
 add %rdi, %rsi
 jmp *%rsi
END which_jump
FUNC which_pointer
 mov (%rdi), %rax
 jmp *%rax
 mov $1, %eax
 ret
END which_pointer
FUNC wild
 test %rdi, %rdi
 je 1f
 ret
1: .byte 0x06
END wild
FUNC falls
 mov $1, %eax
END falls
FUNC after_falls
 ret
END after_falls
FUNC switches
 mov (%rdi), %rsp
 ret
END switches
FUNC switches_register
 mov %rdi, %rsp
 ret
END switches_register
FUNC unwinds
 push %rbp
 mov %rsp, %rbp
 lea 8(%rbp,%rcx), %rcx
 mov (%rbp), %rbp
 mov %rcx, %rsp
 ret
END unwinds
FUNC overlapping
 test %rdi, %rdi
 je 1f + 1
1: mov $0x90c3, %eax
 ret
END overlapping
FUNC loops_out
 jrcxz leaf_near
 ret
END loops_out
FUNC leaf_near
 ret
END leaf_near
FUNC frame_up_out
 push %rax
 jmp nobody
END frame_up_out
FUNC calls_inside
 call 1f
1: pop %rax
 ret
END calls_inside
FUNC unreached
 ret
 jmp leaf
END unreached
FUNC exception
 iretq
END exception
nobody: ret
"""
UNKNOWN_SP = "the stack pointer is not known to be back at its entry value at this return"
WRONG_SP = "the stack pointer is not back at its entry value at this"
LOST = "the return address is not known to be in its place at this return"
WHICH = "whether this indirect jump is a jump table or a tail call cannot be told"
ENTRY = "the program's entry: there is nobody to return to"
COMMON = {
    "_start": ENTRY,
    "sp_down": WRONG_SP + " return",
    "which_jump": WHICH,
    "which_pointer": "whether this indirect jump is a tail call or leads to code nothing else reaches cannot be told",
    "wild": "control runs into undecodable bytes",
    "falls": "falls through into whatever follows it",
    "switches": "switches stacks: loads SP from memory or a register that held no SP",
    "unwinds": "unwinds: leaves with SP at a computed value",
    "unreached": "no path of the flow analysis reaches this exit",
    "frame_up_out": WRONG_SP + " tail call",
    "calls_inside": "it calls into its middle at ",
    "exception": "returns from an exception or interrupt",
}
EXPECTED = {
    A64: COMMON
    | {
        "sp_lost": "unwinds: leaves with SP at a computed value",
        "sp_up": "moves the stack pointer above its value at entry",
        "lr_lost": LOST,
        "lr_called": LOST,
        "wrong_register": LOST,
        "pool": "control runs into data",
    },
    X86: COMMON
    | {
        "sp_lost": "unwinds: leaves with SP at a computed value",
        "sp_up": "moves the stack pointer above its value at entry",
        "slot_written": LOST,
        "slot_written_framed": LOST,
        "switches_register": "switches stacks: loads SP from memory or a register that held no SP",
        "overlapping": "a jump at ",
        "loops_out": "leaves the function by a loop instruction, which reaches 127 bytes only",
    },
}
TEXTS = {A64: A64_TEXT, X86: X86_TEXT}


@pytest.mark.parametrize(("arch", "name"), [(arch, name) for arch in EXPECTED for name in EXPECTED[arch]])
def test_the_reason_is_named(arch: str, name: str) -> None:
    image, found = look(arch, TEXTS[arch])
    assert reason_of(image, found, name).startswith(EXPECTED[arch][name])
    out = found.left_out[image.symbols[name]]
    assert out.function == name
    assert image.function_at(out.address) is not None or out.address == image.symbols["after_falls"]


@pytest.mark.parametrize("arch", [A64, X86])
def test_what_follows_a_fall_through_stays(arch: str) -> None:
    image, found = look(arch, TEXTS[arch])
    assert [e.kind.value for e in body_of(image, found, "after_falls").exits] == ["return"]


def test_a_literal_pool_nobody_runs_into_is_data() -> None:
    image, found = look(A64, A64_TEXT)
    assert len(body_of(image, found, "pool_beside").exits) == 1


@pytest.mark.parametrize("arch", [A64, X86])
def test_what_changes_stacks_is_listed(arch: str) -> None:
    image, found = look(arch, TEXTS[arch])
    named = {out.function for out in found.switches.values()}
    assert {"switches", "unwinds"} <= named
    assert not named & {"leaf", "frame_up_out", "sp_down"}
    assert all(found.left_out[start] is out for start, out in found.switches.items())
    assert image.functions


def test_a_wrong_address_in_the_slot_is_not_believed_where_sp_moves_with_it() -> None:
    text = (
        X86_TEXT
        + "\nFUNC beside\n sub $24, %rsp\n mov %rdi, (%rsp)\n mov %rdi, 16(%rsp)\n add $24, %rsp\n ret\nEND beside\n"
    )
    image, found = look(X86, text)
    assert len(body_of(image, found, "beside").exits) == 1


@pytest.mark.parametrize("arch", [A64, X86])
def test_a_size_that_reaches_beyond_the_code(arch: str) -> None:
    mark = "%" if arch == A64 else "@"
    image, found = look(arch, f".globl far\n.type far, {mark}function\nfar: ret\n.size far, 4096")
    assert reason_of(image, found, "far") == "its range is not all code"


@pytest.mark.parametrize("arch", [A64, X86])
def test_a_function_in_data(arch: str) -> None:
    mark = "%" if arch == A64 else "@"
    image, found = look(arch, f".data\n.type there, {mark}function\nthere: .quad 0\n.size there, 8\n.text")
    assert reason_of(image, found, "there") == "no code of it lies in an executable section"
