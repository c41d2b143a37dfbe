"""setjmp and longjmp by their shape, clone by its number, entries behind pads and NOPs, linkers' veneers."""

from __future__ import annotations

import pytest

from rewriters.census import JumpKind
from tests.rewriters.census.asm import A64, X86, body_of, exits, look, reason_of
from tests.rewriters.guests import jump_source

#: As glibc does it on x86-64: SP, FP and the return address are mangled.
MANGLED = """
FUNC keep_place
 mov %rbx, (%rdi)
 mov %rbp, %rax
 xor %fs:0x30, %rax
 rol $0x11, %rax
 mov %rax, 8(%rdi)
 mov %r12, 16(%rdi)
 mov %r13, 24(%rdi)
 mov %r14, 32(%rdi)
 mov %r15, 40(%rdi)
 lea 8(%rsp), %rdx
 xor %fs:0x30, %rdx
 rol $0x11, %rdx
 mov %rdx, 48(%rdi)
 mov (%rsp), %rax
 xor %fs:0x30, %rax
 rol $0x11, %rax
 mov %rax, 56(%rdi)
 jmp more
END keep_place
FUNC more
 ret
END more
FUNC go_back
 mov 48(%rdi), %r8
 mov 8(%rdi), %r9
 mov 56(%rdi), %rdx
 ror $0x11, %r8
 xor %fs:0x30, %r8
 ror $0x11, %r9
 xor %fs:0x30, %r9
 ror $0x11, %rdx
 xor %fs:0x30, %rdx
 mov (%rdi), %rbx
 mov 16(%rdi), %r12
 mov 24(%rdi), %r13
 mov 32(%rdi), %r14
 mov 40(%rdi), %r15
 mov %esi, %eax
 mov %r8, %rsp
 mov %r9, %rbp
 jmp *%rdx
END go_back
"""
CONTEXT = {
    A64: """
FUNC take
 stp x19, x20, [x0, #160]
 stp x21, x22, [x0, #176]
 stp x23, x24, [x0, #192]
 stp x25, x26, [x0, #208]
 stp x27, x28, [x0, #224]
 mov x2, sp
 stp x30, x2, [x0, #240]
 mov x8, #135
 svc #0
 ret
END take
""",
    X86: """
FUNC take
 mov %rbx, 0x80(%rdi)
 mov %r12, 0x48(%rdi)
 mov %r13, 0x50(%rdi)
 mov %r14, 0x58(%rdi)
 mov %r15, 0x60(%rdi)
 lea 8(%rsp), %rcx
 mov %rcx, 0xa0(%rdi)
 mov $14, %eax
 syscall
 ret
END take
""",
}


def shapes(arch: str, text: str) -> dict[str, tuple[JumpKind, int, str, tuple[tuple[int, int], ...]]]:
    """What the census makes of each jump function of *text*, by name."""
    image, found = look(arch, text)
    assert all(found.left_out[start].reason.endswith("a jmp_buf") for start in found.jumps)
    assert not set(found.jumps) & set(found.switches)
    assert image.functions
    return {s.function.name: (s.kind, s.entry - s.function.start, s.register, s.touches) for s in found.jumps.values()}


@pytest.mark.parametrize(("arch", "register", "words"), [(A64, "x0", 13), (X86, "rdi", 8)])
def test_setjmp_and_longjmp_by_what_they_do(arch: str, register: str, words: int) -> None:
    source = jump_source(arch, "").replace("setjmp", "apple").replace("longjmp", "pear")
    found = shapes(arch, source)
    assert {name: shape[0] for name, shape in found.items()} == {"apple": JumpKind.SETJMP, "pear": JumpKind.LONGJMP}
    for _, entry, buffer, touches in found.values():
        assert (entry, buffer) == (0, register)
        touched = {offset + i for offset, size in touches for i in range(0, size, 8)}
        assert touched == {8 * i for i in range(words)}


@pytest.mark.parametrize("arch", [A64, X86])
def test_setjmp_without_a_size_is_found_all_the_same(arch: str) -> None:
    lines = [line for line in jump_source(arch, "").splitlines() if not line.startswith((".size", ".type"))]
    image, found = look(arch, "\n".join(lines))
    assert {s.function.name for s in found.jumps.values()} == {"setjmp", "longjmp"}
    assert not set(found.jumps) & set(found.left_out), "they are no functions here"
    assert image.function_at(image.symbols["setjmp"]) is None


def test_mangled_pointers_and_a_tail_call() -> None:
    found = shapes(X86, MANGLED)
    assert {name: shape[0] for name, shape in found.items()} == {
        "keep_place": JumpKind.SETJMP,
        "go_back": JumpKind.LONGJMP,
    }


@pytest.mark.parametrize("arch", [A64, X86])
def test_a_context_is_no_jmp_buf(arch: str) -> None:
    image, found = look(arch, CONTEXT[arch])
    assert found.jumps == {}
    assert len(body_of(image, found, "take").exits) == 1


CLONES = {
    A64: """
FUNC thread
 mov x8, #220
 svc #0
 ret
END thread
FUNC process
 mov x0, #17
 mov x8, #220
 svc #0
 ret
END process
FUNC modern
 mov x8, #435
 svc #0
 ret
END modern
FUNC other
 mov x0, #220
 mov x8, #64
 svc #0
 ret
END other
""",
    X86: """
FUNC thread
 mov $56, %eax
 syscall
 ret
END thread
FUNC process
 mov $17, %edi
 mov $56, %eax
 syscall
 ret
END process
FUNC modern
 mov $58, %eax
 syscall
 ret
END modern
FUNC other
 mov $56, %edi
 mov $1, %eax
 syscall
 ret
END other
""",
}


@pytest.mark.parametrize("arch", [A64, X86])
def test_what_shares_its_memory_with_a_child_is_left_out(arch: str) -> None:
    image, found = look(arch, CLONES[arch])
    for name in ("thread", "modern"):
        assert reason_of(image, found, name) == "clones: a child of it may share the memory"
        assert image.symbols[name] in found.switches
    for name in ("process", "other"):
        assert len(body_of(image, found, name).exits) == 1


def test_a_veneer_is_part_of_the_function_it_serves() -> None:
    text = """
FUNC f
 stp x29, x30, [sp, #-16]!
 b patch
 ldp x29, x30, [sp], #16
 ret
END f
patch: ldr x1, [x0, #8]
 b f + 8
FUNC g
 ldr x1, [x0, #16]
 ret
END g
unused: ldr x1, [x0, #16]
 b g + 4
"""
    image, found = look(A64, text)
    body = body_of(image, found, "f")
    assert body.into == ((body.function.start + 4, image.symbols["patch"]),)
    assert exits(image, body) == [(12, "return", "x30")]
    assert exits(image, body_of(image, found, "g")) == [(4, "return", "x30")]


@pytest.mark.parametrize(
    ("arch", "head", "skipped"),
    [
        (A64, "bti c\n nop\n nop", 12),
        (A64, "nop\n bti j", 8),
        (A64, "paciasp", 0),
        (X86, "endbr64\n nop\n nop", 6),
        (X86, ".byte 0x66, 0x0f, 0x1f, 0x44, 0, 0", 6),
        (X86, "xchg %rax, %rcx", 0),
    ],
)
def test_the_push_belongs_behind_pads_and_nops(arch: str, head: str, skipped: int) -> None:
    image, found = look(
        arch, f"FUNC f\n {head}\n lea 1(%rdi), %rax\n ret\nEND f" if arch == X86 else f"FUNC f\n {head}\n ret\nEND f"
    )
    body = body_of(image, found, "f")
    assert body.entry - body.function.start == skipped


@pytest.mark.parametrize("arch", [A64, X86])
def test_who_was_never_called_is_left_out(arch: str) -> None:
    register = "x30" if arch == A64 else "%rip"
    text = f"FUNC child\n .cfi_startproc\n .cfi_undefined {register}\n nop\n ret\n .cfi_endproc\nEND child"
    text += "\nFUNC handler\n .cfi_startproc\n .cfi_signal_frame\n nop\n ret\n .cfi_endproc\nEND handler"
    image, found = look(arch, text)
    assert reason_of(image, found, "child") == "its unwind information says that nobody called it, or a part of it"
    assert reason_of(image, found, "handler") == "a signal-return trampoline"


@pytest.mark.parametrize("arch", [A64, X86])
def test_overlapping_functions(arch: str) -> None:
    mark = "%" if arch == A64 else "@"
    image, found = look(arch, f"FUNC one\n nop\n.type two, {mark}function\ntwo: ret\nEND one\n nop\n.size two, . - two")
    assert reason_of(image, found, "one") == "overlaps two"
    assert reason_of(image, found, "two") == "overlaps one"


@pytest.mark.parametrize("arch", [A64, X86])
def test_registers_loaded_from_an_array_are_no_longjmp(arch: str) -> None:
    """SP stays the function's own, however many registers come from what the argument points at."""
    text = jump_source(arch, "").replace("longjmp", "pressed")
    kept = {A64: ("mov sp, ",), X86: (", %rsp",)}[arch]
    lines = [line for line in text.splitlines() if not any(piece in line for piece in kept)]
    assert len(lines) == len(text.splitlines()) - 1
    assert set(shapes(arch, "\n".join(lines))) == {"setjmp"}
