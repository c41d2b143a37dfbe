"""Functions that share activations: all of a group or none."""

from __future__ import annotations

import pytest

from lab.images.image import Image
from rewriters.census import Survey
from tests.rewriters.census.asm import A64, X86, body_of, look, reason_of

A64_TEXT = """
FUNC copy
 cbz x0, 1f
 ret
inside: add x0, x0, #1
1: ret
END copy
FUNC move
 cbz x1, inside
 ret
END move
FUNC whole
 .cfi_startproc
 stp x29, x30, [sp, #-32]!
 .cfi_def_cfa_offset 32
 .cfi_offset 29, -32
 .cfi_offset 30, -24
 cbz x0, whole.cold
back: ldp x29, x30, [sp], #32
 ret
 .cfi_endproc
END whole
FUNC whole.cold
 .cfi_startproc
 .cfi_def_cfa_offset 32
 .cfi_offset 29, -32
 .cfi_offset 30, -24
 cbz x1, back
 ldp x29, x30, [sp], #32
 ret
 .cfi_endproc
END whole.cold
FUNC bare
 stp x29, x30, [sp, #-32]!
 cbz x0, bare.cold
 ldp x29, x30, [sp], #32
 ret
END bare
FUNC bare.cold
 ldp x29, x30, [sp], #32
 ret
END bare.cold
FUNC spoiled
 cbz x0, 1f
 ldr x30, [x0]
 ret
1: ret
END spoiled
FUNC victim
 b 1b
END victim
FUNC framed
 sub sp, sp, #16
 b entered
END framed
FUNC entered
 add sp, sp, #16
 ret
END entered
FUNC called_inside
 nop
 mov x0, #1
middle: ret
END called_inside
FUNC caller
 stp x29, x30, [sp, #-16]!
 bl middle
 ldp x29, x30, [sp], #16
 ret
END caller
FUNC from_nowhere
 mov x0, #1
half: ret
END from_nowhere
stray: b half
"""
X86_TEXT = """
FUNC copy
 test %rdi, %rdi
 je 1f
 ret
inside: inc %rdi
1: ret
END copy
FUNC move
 test %rsi, %rsi
 je inside
 ret
END move
FUNC whole
 .cfi_startproc
 push %rbx
 .cfi_def_cfa_offset 16
 test %rdi, %rdi
 je whole.cold
back: pop %rbx
 ret
 .cfi_endproc
END whole
FUNC whole.cold
 .cfi_startproc
 .cfi_def_cfa_offset 16
 test %rsi, %rsi
 je back
 pop %rbx
 ret
 .cfi_endproc
END whole.cold
FUNC bare
 push %rbx
 test %rdi, %rdi
 je bare.cold
 pop %rbx
 ret
END bare
FUNC bare.cold
 pop %rbx
 ret
END bare.cold
FUNC spoiled
 test %rdi, %rdi
 je 1f
 mov %rdi, (%rsp)
 ret
1: ret
END spoiled
FUNC victim
 jmp 1b
END victim
FUNC framed
 push %rbx
 jmp entered
END framed
FUNC entered
 pop %rbx
 ret
END entered
FUNC called_inside
 nop
 mov $1, %eax
middle: ret
END called_inside
FUNC caller
 call middle
 ret
END caller
FUNC from_nowhere
 mov $1, %eax
half: ret
END from_nowhere
stray: jmp half
"""
TEXTS = {A64: A64_TEXT, X86: X86_TEXT}
ARCHES = pytest.mark.parametrize("arch", [A64, X86])


def group(image: Image, found: Survey, name: str) -> set[str]:
    """Names of the group that *name* is in."""
    names = {f.start: f.name for f in image.functions}
    start = image.symbols[name]
    return next(({names[s] for s in members} for members in found.groups if start in members), set())


@ARCHES
def test_a_jump_into_anothers_middle(arch: str) -> None:
    image, found = look(arch, TEXTS[arch])
    assert group(image, found, "move") == {"copy", "move"}
    move = body_of(image, found, "move")
    assert [target for _, target in move.into] == [image.symbols["inside"]]
    assert [e.kind.value for e in move.exits] == ["return"]
    assert len(body_of(image, found, "copy").exits) == 2
    assert not move.fragment


@ARCHES
def test_a_fragment_known_by_its_unwind_information(arch: str) -> None:
    image, found = look(arch, TEXTS[arch])
    assert group(image, found, "whole") == {"whole", "whole.cold"}
    whole, cold = body_of(image, found, "whole"), body_of(image, found, "whole.cold")
    assert (whole.fragment, cold.fragment) == (False, True)
    assert [target for _, target in whole.into] == [cold.function.start]
    assert [target for _, target in cold.into] == [image.symbols["back"]]
    assert (len(whole.exits), len(cold.exits)) == (1, 1)


@ARCHES
def test_a_fragment_known_by_its_name_and_its_callers_frame(arch: str) -> None:
    image, found = look(arch, TEXTS[arch])
    assert group(image, found, "bare") == {"bare", "bare.cold"}
    assert body_of(image, found, "bare.cold").fragment
    assert len(body_of(image, found, "bare.cold").exits) == 1


@ARCHES
def test_one_left_out_leaves_out_all(arch: str) -> None:
    image, found = look(arch, TEXTS[arch])
    assert "return address" in reason_of(image, found, "spoiled")
    assert reason_of(image, found, "victim").startswith("shares activations with spoiled, which is left out: ")


@ARCHES
def test_a_frame_handed_to_an_ordinary_function_is_not_understood(arch: str) -> None:
    image, found = look(arch, TEXTS[arch])
    assert group(image, found, "framed") == {"framed", "entered"}
    reason_of(image, found, "framed")
    assert reason_of(image, found, "entered") == "entered by a jump with another function's frame up"


@ARCHES
def test_a_call_into_the_middle(arch: str) -> None:
    image, found = look(arch, TEXTS[arch])
    assert reason_of(image, found, "called_inside").startswith("caller calls into its middle at ")
    assert len(body_of(image, found, "caller").exits) == 1


@ARCHES
def test_a_jump_from_code_no_function_covers(arch: str) -> None:
    image, found = look(arch, TEXTS[arch])
    said = reason_of(image, found, "from_nowhere")
    assert said == f"code outside every function jumps into its middle from {image.symbols['stray']:#x}"
