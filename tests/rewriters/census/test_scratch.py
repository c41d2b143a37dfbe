"""Which registers a sequence may clobber: liveness over the whole call graph."""

from __future__ import annotations

import pytest

from tests.rewriters.census.asm import A64, X86, body_of, look

A64_TEXT = """
FUNC plain
 ret
END plain
FUNC reads_x16
 add x0, x16, x17
 ret
END reads_x16
FUNC reads_x9
 mov x0, x9
 ret
END reads_x9
FUNC writes_first
 mov x9, #1
 mov x0, x9
 ret
END writes_first
FUNC callee
 ret
END callee
FUNC middle
 stp x29, x30, [sp, #-16]!
 bl callee
 ldp x29, x30, [sp], #16
 ret
END middle
FUNC keeps
 stp x29, x30, [sp, #-16]!
 mov x10, x0
 bl middle
 add x0, x0, x10
 ldp x29, x30, [sp], #16
 ret
END keeps
FUNC writer
 mov x11, #5
 b plain_end
END writer
FUNC plain_end
 ret
END plain_end
FUNC keeps_over_writer
 stp x29, x30, [sp, #-16]!
 mov x11, x0
 bl writer
 add x0, x0, x11
 ldp x29, x30, [sp], #16
 ret
END keeps_over_writer
FUNC keeps_over_pointer
 stp x29, x30, [sp, #-16]!
 mov x12, x0
 blr x1
 add x0, x0, x12
 ldp x29, x30, [sp], #16
 ret
END keeps_over_pointer
FUNC tail_reads
 cbz x9, reads_x9
 b reads_x9
END tail_reads
FUNC flags_out
 cmp x0, #1
 ret
END flags_out
FUNC flags_user
 stp x29, x30, [sp, #-16]!
 bl flags_out
 ldp x29, x30, [sp], #16
 cset x0, eq
 ret
END flags_user
FUNC flags_in
 cset x0, eq
 ret
END flags_in
FUNC by_hand
 mov x15, x30
 bl stub
 ret x15
END by_hand
.section .plt, "ax"
stub: adrp x16, plain
 ldr x17, [x16]
 br x17
.text
"""
X86_TEXT = """
FUNC plain
 ret
END plain
FUNC reads_r11
 mov %r11, %rax
 ret
END reads_r11
FUNC chain
 mov (%r10), %rax
 ret
END chain
FUNC writes_first
 xor %r11d, %r11d
 mov %r11, %rax
 ret
END writes_first
FUNC callee
 ret
END callee
FUNC middle
 call callee
 ret
END middle
FUNC keeps
 mov %rdi, %r11
 call middle
 add %r11, %rax
 ret
END keeps
FUNC keeps_over_pointer
 mov %rdi, %r10
 call *%rsi
 add %r10, %rax
 ret
END keeps_over_pointer
FUNC tail_reads
 jmp chain
END tail_reads
FUNC pointer_with_chain
 mov %rdi, %r10
 mov (%rdi), %rax
 jmp *%rax
END pointer_with_chain
FUNC pointer
 mov (%rdi), %rax
 jmp *%rax
END pointer
FUNC through_r11
 mov (%rdi), %r11
 jmp *%r11
END through_r11
FUNC flags_out
 cmp $1, %rdi
 ret
END flags_out
FUNC flags_user
 call flags_out
 sete %al
 ret
END flags_user
FUNC flags_in
 sete %al
 ret
END flags_in
"""
WIDE = ("x16", "x17", "x9", "x10", "x11", "x12", "x13", "x14")
TEXTS = {A64: A64_TEXT, X86: X86_TEXT}


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("plain", set()),
        ("reads_x16", {"x16", "x17"}),
        ("reads_x9", {"x9"}),
        ("writes_first", set()),
        ("callee", {"x10"}),
        ("middle", {"x10"}),
        ("keeps", set()),
        ("writer", {"x11"}),
        ("plain_end", set()),
        ("keeps_over_pointer", set()),
        ("tail_reads", {"x9"}),
    ],
)
def test_aarch64_scratch(name: str, missing: set[str]) -> None:
    image, found = look(A64, A64_TEXT)
    # x15 is kept, by hand, across a call that may lead anywhere.
    assert body_of(image, found, name).scratch == tuple(r for r in WIDE if r not in missing)


@pytest.mark.parametrize(
    ("name", "free"),
    [
        ("plain", ("r11", "r10")),
        ("reads_r11", ("r10",)),
        ("chain", ("r11",)),
        ("writes_first", ("r11", "r10")),
        ("callee", ("r10",)),
        ("middle", ("r10",)),
        ("keeps", ("r11", "r10")),
        ("keeps_over_pointer", ("r11", "r10")),
        ("tail_reads", ("r11",)),
    ],
)
def test_x86_scratch(name: str, free: tuple[str, ...]) -> None:
    image, found = look(X86, X86_TEXT)
    assert body_of(image, found, name).scratch == free


def test_a_tail_call_keeps_what_its_target_reads() -> None:
    image, found = look(A64, A64_TEXT)
    assert [e.keeps for e in body_of(image, found, "tail_reads").exits] == [("x9",), ("x9",)]
    image, found = look(X86, X86_TEXT)
    assert [e.keeps for e in body_of(image, found, "tail_reads").exits] == [("r10",)]


def test_an_indirect_tail_call_keeps_its_pointer_and_a_static_chain() -> None:
    image, found = look(X86, X86_TEXT)
    kept = {
        name: body_of(image, found, name).exits[0].keeps for name in ("pointer", "pointer_with_chain", "through_r11")
    }
    assert kept == {"pointer": (), "pointer_with_chain": ("r10",), "through_r11": ("r11",)}


@pytest.mark.parametrize("arch", [A64, X86])
def test_flags_that_carry_something(arch: str) -> None:
    image, found = look(arch, TEXTS[arch])
    free = {name: body_of(image, found, name).flags_free for name in ("plain", "flags_out", "flags_user", "flags_in")}
    assert free == {"plain": True, "flags_out": False, "flags_user": True, "flags_in": False}
