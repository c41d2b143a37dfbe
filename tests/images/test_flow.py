"""Control flow, frames and liveness of single functions, on assembled bytes with known answers."""

from __future__ import annotations

from pathlib import Path

from lab.images.flow import Graph, decode_function, noreturn_functions
from lab.images.frame import Frame
from lab.images.image import Image, load_image
from lab.images.liveness import frames, kept_across_calls, liveness, lr_live
from tests.rewriters.guests import Source, build_plain

A64 = """
.text
.macro fn name
.globl \\name
.type \\name,%function
\\name:
.endm
fn compute
 stp x29, x30, [sp, #-32]!
 mov x29, sp
 sub sp, sp, #64
 mov x16, #3
 bl stop
 mov x0, x16
 mov sp, x29
 ldp x29, x30, [sp], #32
 ret
.size compute, .-compute
fn stop
 stp x29, x30, [sp, #-16]!
 bl ends
 ldp x29, x30, [sp], #16
 ret
.size stop, .-stop
fn ends
 mov x8, #93
 svc #0
 b ends
.size ends, .-ends
fn leaf
 cbz x0, 1f
 add x0, x0, x17
1: ret
.size leaf, .-leaf
fn table
 adr x9, 2f
 add x9, x9, x0, lsl #3
 br x9
2: mov x0, #1
 ret
 mov x0, #2
 b leaf
.size table, .-table
fn indirect
 stp x29, x30, [sp, #-16]!
 bl leaf
 ldp x29, x30, [sp], #16
 br x1
.size indirect, .-indirect
fn island
 ldr x0, 3f
 ret
3: .quad 0x1122334455667788
.size island, .-island
fn unknown_sp
 and x9, x0, #-16
 mov sp, x9
 ret
.size unknown_sp, .-unknown_sp
"""


def _image(folder: Path) -> Image:
    return load_image(build_plain(folder, "aarch64", [Source("f.s", A64)]))


def _graph(image: Image, name: str, noreturn: frozenset[int] = frozenset()) -> Graph:
    function = next(f for f in image.functions if name in f.names)
    return Graph(decode_function(image, function), noreturn)


def _frames(image: Image, name: str) -> list[Frame | None]:
    return list(frames(_graph(image, name)).before)


def test_sp_is_followed_and_restored_through_the_frame_pointer(tmp_path: Path) -> None:
    states = _frames(_image(tmp_path), "compute")
    assert [s.sp for s in states if s] == [0, -32, -32, -96, -96, -96, -96, -32, 0]
    assert states[4] is not None
    assert states[4].fp == -32


def test_an_unknown_move_of_sp_is_unknown(tmp_path: Path) -> None:
    states = _frames(_image(tmp_path), "unknown_sp")
    assert [s.sp for s in states if s] == [0, 0, None]


def test_noreturn_is_the_least_fixed_point(tmp_path: Path) -> None:
    image = _image(tmp_path)
    codes = {f.start: decode_function(image, f) for f in image.functions}
    names = {codes[start].function.name for start in noreturn_functions(codes)}
    assert names == {"ends", "stop", "compute", "_start"}


def test_code_behind_a_noreturn_call_is_not_reached(tmp_path: Path) -> None:
    image = _image(tmp_path)
    solution = frames(_graph(image, "compute", frozenset({image.symbols["stop"]})))
    assert [s is not None for s in solution.before] == [True] * 5 + [False] * 4


def test_jump_table_targets_are_the_orphans(tmp_path: Path) -> None:
    image = _image(tmp_path)
    graph = _graph(image, "table")
    solution = frames(graph)
    assert solution.tables == {2}
    assert all(state is not None for state in solution.before)
    assert solution.leaders == (3, 5)


def test_indirect_tail_call_is_no_table(tmp_path: Path) -> None:
    solution = frames(_graph(_image(tmp_path), "indirect"))
    assert solution.tables == frozenset()


def test_data_islands_are_not_decoded(tmp_path: Path) -> None:
    graph = _graph(_image(tmp_path), "island")
    assert [insn.mnemonic for insn in graph.code.insns] == ["ldr", "ret"]


def test_liveness_at_a_tail_call_keeps_the_target(tmp_path: Path) -> None:
    graph = _graph(_image(tmp_path), "indirect")
    live = liveness(graph, frames(graph))
    last = len(graph.code.insns) - 1
    assert live.free(last, ("x16", "x17", "x9")) == ("x16", "x17", "x9")
    assert live.free(last, ("x1", "x19", "x0")) == ()


def test_undefined_scratch_is_free_whatever_reads_it_later(tmp_path: Path) -> None:
    """x17 is read in leaf but no path gives it a value there: at entry it is free; x0 is not."""
    graph = _graph(_image(tmp_path), "leaf")
    live = liveness(graph, frames(graph))
    assert live.free(0, ("x17", "x0")) == ("x17",)


def test_veneer_registers_are_never_kept_across_a_call(tmp_path: Path) -> None:
    graph = _graph(_image(tmp_path), "compute")
    assert kept_across_calls(graph, frames(graph)) == 0


def test_lr_live(tmp_path: Path) -> None:
    image = _image(tmp_path)
    leaf = next(f for f in image.functions if f.name == "leaf")
    assert all(lr_live(image, leaf).values())
    indirect = next(f for f in image.functions if f.name == "indirect")
    assert list(lr_live(image, indirect).values()) == [True, False, False, True]


X86 = """
.text
.globl compute
.type compute,@function
compute:
 push %rbp
 mov %rsp, %rbp
 push %rbx
 sub $24, %rsp
 call near
 lea -8(%rbp), %rsp
 pop %rbx
 pop %rbp
 ret
.size compute,.-compute
.globl near
.type near,@function
near:
 movb $1, %r10b
 mov $2, %r11d
 jmp *%rax
.size near,.-near
.globl left
.type left,@function
left: push %rbp
 mov %rsp, %rbp
 leave
 ret
.size left,.-left
"""


def test_x86_frames(tmp_path: Path) -> None:
    image = load_image(build_plain(tmp_path, "x86_64", [Source("f.s", X86)]))
    assert [s.sp for s in _frames(image, "compute") if s] == [0, -8, -8, -16, -40, -40, -16, -8, 0]
    assert [s.sp for s in _frames(image, "left") if s] == [0, -8, -8, 0]
    graph = _graph(image, "near")
    assert frames(graph).tables == frozenset()
    assert lr_live(image, image.functions[0]) == {}


def test_frames_join_to_unknown() -> None:
    assert Frame(-8, None).join(Frame(-16, None)) == Frame(None, None)
    assert Frame(-8, -8).join(Frame(-8, -8)) == Frame(-8, -8)


def test_a_function_that_falls_into_the_next_one_may_return(tmp_path: Path) -> None:
    text = A64 + "fn falls\n mov x0, #1\n.size falls, .-falls\nfn next\n ret\n.size next, .-next\n"
    image = load_image(build_plain(tmp_path, "aarch64", [Source("f.s", text)]))
    codes = {f.start: decode_function(image, f) for f in image.functions}
    assert image.symbols["falls"] not in noreturn_functions(codes)


def test_a_call_into_the_own_middle_makes_the_frame_there_unknown(tmp_path: Path) -> None:
    """Entered by falling in SP is 8 down, entered by the call it is at the entry value."""
    text = X86 + (
        ".globl twice\n.type twice,@function\ntwice: push %rbx\n call 1f\n1: nop\n ret\n.size twice,.-twice\n"
    )
    image = load_image(build_plain(tmp_path, "x86_64", [Source("f.s", text)]))
    assert [s.sp for s in _frames(image, "twice") if s] == [0, -8, None, None]


def test_lr_is_dead_before_a_jump_table_under_a_frame(tmp_path: Path) -> None:
    text = A64 + (
        "fn framed\n stp x29, x30, [sp, #-16]!\n adr x9, 2f\n br x9\n2: ldp x29, x30, [sp], #16\n ret\n"
        ".size framed, .-framed\n"
    )
    image = load_image(build_plain(tmp_path, "aarch64", [Source("f.s", text)]))
    framed = next(f for f in image.functions if f.name == "framed")
    assert list(lr_live(image, framed).values()) == [True, False, False, False, True]
    table = next(f for f in image.functions if f.name == "table")
    assert all(lr_live(image, table).values()), "no frame: the cases return through it"
