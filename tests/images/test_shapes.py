"""The shapes the corpus promises are really in the built images: decoded, not believed."""

from __future__ import annotations

from functools import cache

import pytest
from elftools.elf.elffile import ELFFile

from lab.arch import ARCHES, Arch, arch_by_name
from lab.arch.decode import ENDS_FLOW, Insn, Kind, decode
from lab.images.build import build
from lab.images.image import Image, load_image
from lab.images.workloads import workload_by_name

DW_CFA_ADVANCE_LOC4 = 0x04
BOTH = pytest.mark.parametrize("arch", [pytest.param(a, id=a.name) for a in ARCHES])
DESIGNS = pytest.mark.parametrize(
    "flags",
    [pytest.param((), id="none"), pytest.param(("-fxray-instrument", "-fxray-instruction-threshold=1"), id="xray")],
)


def image_of(name: str, arch: Arch, flags: tuple[str, ...]) -> Image:
    return _image(name, arch.name, flags)


@cache
def _image(name: str, arch: str, flags: tuple[str, ...]) -> Image:
    return load_image(build(workload_by_name(name), arch_by_name(arch), flags))


def body(name: str, function: str, arch: Arch, flags: tuple[str, ...] = ()) -> list[Insn]:
    """Every instruction of one function of a workload's small image."""
    image = image_of(name, arch, flags)
    found = next(f for f in image.functions if function in f.names)
    return list(decode(arch, image.read(found.start, found.size), found.start))


def saves_frame(arch: Arch, insn: Insn) -> bool:
    """push rbp, or a store of x29 and x30 below the stack pointer."""
    return insn.text == "push rbp" if arch.lr is None else insn.text.startswith("stp x29, x30, [sp, #-")


def leaves(code: list[Insn], insn: Insn) -> bool:
    """A jump to somewhere outside the function, or an indirect one."""
    inside = range(code[0].address, code[-1].end)
    return insn.kind is Kind.INDIRECT or (insn.kind is Kind.JUMP and insn.target not in inside)


@BOTH
@DESIGNS
@pytest.mark.parametrize("function", ["even", "odd", "jump", "framed"])
def test_tail_calls_jump_out_of_their_function(arch: Arch, flags: tuple[str, ...], function: str) -> None:
    code = body("tailcall", function, arch, flags)
    assert any(leaves(code, insn) for insn in code)
    assert any(insn.kind is Kind.CALL for insn in code) == (function == "framed")


@BOTH
def test_tail_calls_come_direct_and_indirect_after_a_frame(arch: Arch) -> None:
    code = body("tailcall", "framed", arch)
    assert {insn.kind for insn in code if leaves(code, insn)} == {Kind.JUMP, Kind.INDIRECT}
    assert any(saves_frame(arch, insn) for insn in code)


@BOTH
@DESIGNS
@pytest.mark.parametrize("function", ["first_and_last", "find_or_ask"])
def test_shrink_wrapped_prologues_come_after_a_branch(arch: Arch, flags: tuple[str, ...], function: str) -> None:
    code = body("shrinkwrap", function, arch, flags)
    prologue = next(i for i, insn in enumerate(code) if saves_frame(arch, insn))
    assert any(insn.kind is Kind.BRANCH for insn in code[:prologue])
    assert any(insn.kind is Kind.CALL for insn in code[prologue:])


@BOTH
@DESIGNS
@pytest.mark.parametrize("function", ["middle", "checked", "cases"])
def test_early_returns_are_followed_by_code_that_has_a_frame(arch: Arch, flags: tuple[str, ...], function: str) -> None:
    code = body("early", function, arch, flags)
    assert saves_frame(arch, code[0]) or flags
    returns = next(i for i, insn in enumerate(code) if insn.kind is Kind.RETURN)
    assert any(insn.kind is Kind.CALL for insn in code[returns:])
    assert sum(saves_frame(arch, insn) for insn in code) == 1


@BOTH
@DESIGNS
@pytest.mark.parametrize(
    ("name", "function"), [("noreturn", "maybe_give_up"), ("noreturn", "give_up"), ("early", "checked")]
)
def test_a_noreturn_call_is_the_last_instruction(arch: Arch, flags: tuple[str, ...], name: str, function: str) -> None:
    last = body(name, function, arch, flags)[-1]
    assert last.kind is Kind.CALL
    image = image_of(name, arch, flags)
    beyond = image.function_at(last.end)
    assert beyond is None or function not in beyond.names


@BOTH
@pytest.mark.parametrize("function", ["variable_array", "growing"])
def test_alloca_moves_the_stack_pointer_by_a_register(arch: Arch, function: str) -> None:
    moves = [
        insn
        for insn in body("alloca", function, arch)
        if insn.mnemonic == "mov" and arch.sp in insn.writes and insn.reads - {arch.sp, arch.fp}
    ]
    assert moves


@BOTH
def test_the_realigned_frame_masks_the_stack_pointer(arch: Arch) -> None:
    assert any(insn.mnemonic == "and" and arch.sp in insn.writes for insn in body("alloca", "realigned", arch))


def test_leaves_have_no_frame_record_on_arm64_and_one_on_x86() -> None:
    for arch in ARCHES:
        for function in ("crc32", "common_nibble"):
            code = body("leaf", function, arch)
            assert not any(insn.kind is Kind.CALL for insn in code)
            assert any(saves_frame(arch, insn) for insn in code) == (arch.lr is None)
        assert any(arch.sp in insn.writes for insn in body("leaf", "common_nibble", arch))


@BOTH
def test_smash_stores_into_its_own_frame_record(arch: Arch) -> None:
    slots = {"[x29]", "[x29, #8]"} if arch.lr else {"qword ptr [rbp]", "qword ptr [rbp + 8]"}
    code = body("smash", "smash_own", arch)
    calls = [i for i, insn in enumerate(code) if insn.kind is Kind.CALL]
    stores = {
        i: slot
        for i, insn in enumerate(code)
        for slot in slots
        if (insn.op_str.endswith(f", {slot}") if arch.lr else insn.op_str.startswith(f"{slot}, "))
        and insn.mnemonic in {"str", "mov"}
    }
    assert set(stores.values()) == slots
    assert len(stores) == 4
    assert min(stores) < calls[0] < max(stores) < calls[-1]


@BOTH
def test_jump_tables_and_computed_goto_stay_inside(arch: Arch) -> None:
    for function, least in (("run_switch", 1), ("run_goto", 2)):
        assert sum(insn.kind is Kind.INDIRECT for insn in body("switch", function, arch)) >= least


def test_inline_assembly_calls_without_a_frame_record_on_arm64() -> None:
    for arch in ARCHES:
        for function, framed in (("unannounced", arch.lr is None), ("constrained", arch.lr is None), ("framed", True)):
            code = body("asmcall", function, arch)
            assert any(insn.kind is Kind.CALL for insn in code)
            assert any(saves_frame(arch, insn) for insn in code) == framed, function


@BOTH
def test_recursion_is_not_turned_into_a_loop(arch: Arch) -> None:
    for name, function, callee in (
        ("deep", "deep", "deep"),
        ("mutual", "female", "male"),
        ("mutual", "expression", "term"),
        ("mutual", "factor", "expression"),
    ):
        image = image_of(name, arch, ())
        targets = {
            image.locate(insn.target)
            for insn in body(name, function, arch)
            if insn.kind is Kind.CALL and insn.target is not None
        }
        assert f"{callee}+0x0" in targets


@BOTH
def test_calls_through_pointers_are_indirect(arch: Arch) -> None:
    for name, function in (("funptr", "sort"), ("tree", "tsearch"), ("versions", "qsort"), ("printf", "__fwritex")):
        code = body(name, function, arch)
        assert any(
            (insn.kind is Kind.CALL and insn.target is None) or (insn.kind is Kind.INDIRECT and leaves(code, insn))
            for insn in code
        ), function


@BOTH
def test_the_large_function_is_larger_than_two_bytes_can_advance(arch: Arch) -> None:
    image = image_of("largefn", arch, ())
    assert next(f.size for f in image.functions if f.name == "large_function") > 0x10000
    with image.path.open("rb") as file:
        # The kept relocations are applied already: pyelftools must not apply them again.
        entries = ELFFile(file).get_dwarf_info(relocate_dwarf_sections=False).EH_CFI_entries()
        opcodes = {instruction.opcode for entry in entries for instruction in getattr(entry, "instructions", ())}
    assert DW_CFA_ADVANCE_LOC4 in opcodes


def test_only_setjmp_and_longjmp_touch_x18_where_it_is_fixed() -> None:
    arch = ARCHES[0]
    for name in ("longjmp", "regex", "asmcall", "printf"):
        image = image_of(name, arch, ("-ffixed-x18",))
        touching = {
            f.name
            for f in image.functions
            for insn in decode(arch, image.read(f.start, f.size), f.start)
            if "x18" in insn.reads | insn.writes
        }
        assert touching == ({"setjmp", "longjmp"} if name == "longjmp" else set())


@BOTH
def test_hand_written_functions_have_sizes_and_no_fall_through(arch: Arch) -> None:
    for function in ("_start", "lab_write", "lab_exit", "setjmp", "longjmp"):
        code = body("longjmp", function, arch)
        assert code[-1].kind in ENDS_FLOW, function
