"""What capstone does not say about an instruction, and the flow, frame and liveness analyses need."""

from __future__ import annotations

import pytest

from lab.arch import ARCHES, Arch, arch_by_name
from lab.arch.decode import Insn, Kind, decode_one
from lab.images.flow import Graph, decode_function
from lab.images.frame import Frame, step
from lab.images.liveness import FLAGS, frames, liveness
from tests.support import assemble


def one(arch: str, code: str) -> Insn:
    insn = decode_one(arch_by_name(arch), bytes.fromhex(code), 0x1000)
    assert insn.size == len(bytes.fromhex(code))
    return insn


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("517cb0c8", {"x16", "x17"}),  # cas x16, x17, [x2]
        ("518030f8", {"x16", "x17"}),  # swp x16, x17, [x2]
        ("510030f8", {"x16", "x17"}),  # ldadd x16, x17, [x2]
        ("30740bd5", {"x16"}),  # dc zva, x16
        ("300620f8", {"x16", "x17"}),  # ldraa x16, [x17]
    ],
)
def test_operands_capstone_is_silent_about_count_as_read(code: str, names: set[str]) -> None:
    assert names <= one("aarch64", code).reads


def test_an_atomic_that_writes_the_link_register_is_seen() -> None:
    assert "x30" in one("aarch64", "5e8030f8").writes  # swp x16, x30, [x2]


@pytest.mark.parametrize("code", ["48d1d0", "48d1d8", "f5", "f3480f38f6c1"], ids=["rcl", "rcr", "cmc", "adox"])
def test_x86_readers_of_flags(code: str) -> None:
    assert FLAGS in one("x86_64", code).reads


@pytest.mark.parametrize(
    ("code", "kind"),
    [("e2fe", Kind.BRANCH), ("e0fe", Kind.BRANCH), ("48cf", Kind.RETURN), ("480f07", Kind.RETURN)],
    ids=["loop", "loopne", "iretq", "sysretq"],
)
def test_x86_kinds(code: str, kind: Kind) -> None:
    assert one("x86_64", code).kind is kind


@pytest.mark.parametrize(
    ("code", "sp"),
    [
        ("c8100000", None),  # enter 16, 0
        ("6650", None),  # push ax: two bytes
        ("4883ec80", 128),  # sub rsp, -0x80
        ("4883c480", -128),  # add rsp, -0x80
        ("4883ec10", -16),
    ],
)
def test_x86_moves_of_sp(code: str, sp: int | None) -> None:
    assert step(arch_by_name("x86_64"), one("x86_64", code), Frame()).sp == sp


@pytest.mark.parametrize("code", ["f2a5", "f3f2a5", "f3a5"])
def test_a_repeated_movsd_counts_down_whatever_it_is_printed_as(code: str) -> None:
    insn = one("x86_64", code)
    assert insn.kind is Kind.REPEAT
    assert "rcx" in insn.reads & insn.writes


LIVE = {
    "aarch64": "FUNC test_main\n mov x9, #1\n mov x10, #2\n nop\n swp x9, x10, [sp]\n mov x0, x10\n ret\nEND test_main",
    "x86_64": "FUNC test_main\n mov $1, %r10\n cmp %rdi, %rsi\n nop\n bsf %rdi, %r10\n inc %rdi\n"
    " setb %al\n mov %r10, %rdx\n ret\nEND test_main",
}
NEEDED = {"aarch64": ("x9", "x10"), "x86_64": ("r10", FLAGS)}


@pytest.mark.parametrize("arch", ARCHES, ids=lambda arch: arch.name)
def test_values_such_instructions_need_are_live(arch: Arch) -> None:
    """An atomic reads its operands, bsf may keep its destination, inc keeps the carry."""
    image = assemble(arch.name, LIVE[arch.name])
    graph = Graph(decode_function(image, next(f for f in image.functions if f.name == "test_main")))
    at = next(i for i, insn in enumerate(graph.code.insns) if insn.mnemonic == "nop")
    assert liveness(graph, frames(graph)).free(at, NEEDED[arch.name]) == ()
