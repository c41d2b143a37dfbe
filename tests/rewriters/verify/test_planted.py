"""Damage in new text, in what refers to it, and in what describes it: found, and by the check that should find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lab.images.image import Image, load_image
from lab.layout import Flavour, LayoutRow, Policy, Region, SiteOut, Where
from rewriters.unwind import read_frames
from rewriters.verify.units import What
from rewriters.verify.ways import End
from tests.rewriters import guests
from tests.rewriters.verify.planting import Case, make

PAIRED = "pushed once and popped once"
WAYS = "control goes where it went"
UNWIND = "unwind information follows the code"


def test_a_flipped_bit_in_carried_code(analysed: Case) -> None:
    """In every tenth carried piece, one bit: always found, whatever it is."""
    for piece in analysed.map.carried[::10]:
        at = piece.new + piece.new_size - 1
        damaged = analysed.poked(at, bytes([analysed.new.read(at, 1)[0] ^ 0x20]))
        expected = {"carried code means the same", WAYS, "what is named is what was named"}
        assert damaged.failed() & expected, f"{analysed.old.locate(piece.old)} carried to {piece.new:#x}"


def entries(case: Case) -> list[tuple[int, int, int]]:
    """(address of our jump, start of a push, end of it) of every entry whose jump leads to a push."""
    jumps = [unit for unit in case.some(What.JUMP) if unit.target in case.units.by_start]
    pushes = [(jump.start, case.units.by_start[jump.target or 0]) for jump in jumps]
    return [(at, unit.start, unit.end) for at, unit in pushes if unit.what is What.PUSH]


def test_a_push_that_is_jumped_over(analysed: Case) -> None:
    """All code is there and decodes; only nobody comes to the push.  (Calls that go straight to a new entry still do:
    the guest's entry is taken, which is called through its old place.)"""
    found = entries(analysed)
    assert found
    for at, _, end in found[:8]:
        assert analysed.jump(at, end).failed() & {PAIRED, "census accounts for every function"}


@pytest.mark.parametrize("mode", ["pac", "xray"])
def test_a_push_that_is_blanked(mode: str, rewrite_of: Callable[..., Case]) -> None:
    case = rewrite_of("aarch64", mode, Flavour.REGISTER, Policy.USE)
    nop = bytes.fromhex("1f2003d5")
    for push in case.some(What.PUSH)[:8]:
        assert PAIRED in case.poked(push.start, nop).failed()


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_a_pop_that_is_jumped_over(arch: str, rewrite_of: Callable[..., Case]) -> None:
    case = rewrite_of(arch, "detour")
    jumps = [unit for unit in case.some(What.JUMP) if unit.target in case.units.by_start]
    pops = [(j.start, case.units.by_start[j.target or 0]) for j in jumps]
    found = [(at, unit.end) for at, unit in pops if unit.what is What.POP]
    assert found
    for at, end in found[:8]:  # before a jump through a register only the rows tell: it could be a jump table's
        assert case.jump(at, end).failed() & {PAIRED, "layout rows are true"}


def test_a_doubled_pop(rewrite_of: Callable[..., Case]) -> None:
    """Written over the jump behind the first one, in a sled that has room."""
    case = rewrite_of("aarch64", "xray", Flavour.REGISTER, Policy.USE)
    pops = case.some(What.POP)
    assert pops
    for pop in pops[:8]:
        assert case.units.by_start[pop.end].what is What.JUMP
        assert case.poked(pop.end, case.new.read(pop.start, 4)).failed() == {PAIRED}


def test_a_doubled_push(rewrite_of: Callable[..., Case]) -> None:
    case = rewrite_of("aarch64", "xray", Flavour.REGISTER, Policy.USE)
    for push in case.some(What.PUSH)[:8]:
        assert PAIRED in case.poked(push.end, case.new.read(push.start, 4)).failed()


def test_a_jump_of_ours_to_the_wrong_place(case: Case) -> None:
    wide = case.old.arch.insn_align
    jumps = [unit for unit in case.some(What.JUMP) if unit.target is not None]
    assert jumps
    for jump in jumps[:: max(1, len(jumps) // 12)]:
        assert jump.target is not None
        for target in (jump.target + wide, jump.target - wide, case.old.symbols["leaf"]):
            if done(case, target) != done(case, jump.target):  # the NOPs of a sled may be entered anywhere
                assert case.jump(jump.start, target).failed(), f"{jump.start:#x} to {target:#x}"


def done(case: Case, start: int) -> tuple[object, list[What]]:
    """Where control comes from new address *start*, and what it does to the shadow stack on the way."""
    way = case.ways.follow(start)
    return way.to, [unit.what for unit in way.events if unit.pieces]


def test_a_carried_branch_to_the_wrong_place(rewrite_of: Callable[..., Case]) -> None:
    case = rewrite_of("aarch64", "insertion")
    branches = list(case.ways.carriage.targets)
    assert len(branches) > 20
    for old in branches[::5]:
        place = case.pair.place(old)
        fact = case.pair.old_fact(old)
        assert place is not None
        if fact is not None and fact.mnemonic in {"b", "bl"}:
            word = int.from_bytes(case.new.read(place[1] - 4, 4), "little") + 1
            assert case.poked(place[1] - 4, word.to_bytes(4, "little")).failed() >= {WAYS}


def test_an_old_body_that_is_not_all_traps(rewrite_of: Callable[..., Case]) -> None:
    for arch in ("aarch64", "x86_64"):
        case = rewrite_of(arch, "insertion")
        dead = [p for p in case.map.inserted if p.region is Region.DEAD]
        assert dead
        for piece in dead[:5]:
            code = case.old.read(piece.end - 4, 4)
            assert "old bodies trap" in case.poked(piece.end - 4, code).failed()


def test_a_pointer_that_names_another_function(rewrite_of: Callable[..., Case]) -> None:
    for arch in ("aarch64", "x86_64"):
        case = rewrite_of(arch, "insertion")
        words = [entry for entry in case.map.patched if entry.size == 8 and case.old.function_at(entry.address) is None]
        assert words, "the guest's function pointer"
        wrong = case.pair.place(case.old.symbols["leaf"])
        assert wrong is not None
        for entry in words:
            damaged = case.poked(entry.address, wrong[0].to_bytes(8, "little"))
            assert damaged.failed() == {"what is named is what was named"}
            lied = replace(entry, new=wrong[0])
            said = tuple(lied if other == entry else other for other in case.map.patched)
            assert "what is named is what was named" in damaged.with_map(patched=said).failed()


def test_a_wrong_row(case: Case) -> None:
    """Every answer is turned into another one, one row at a time, where the code is reached."""
    arch = case.old.arch
    other = {
        Where.SHADOW: Where.LR if arch.lr else Where.STACK,
        Where.LR: Where.SHADOW,
        Where.STACK: Where.SHADOW,
    }
    rows = case.map.layout.rows
    functions = {p.function for p in case.map.inserted if p.function}
    chosen = [
        i
        for i, row in enumerate(rows)
        if row.where in other and (home := case.old.function_at(row.start)) and home.name in functions
    ]
    assert len(chosen) > 5
    found = 0
    for i in chosen[:: max(1, len(chosen) // 15)]:
        wrong = LayoutRow(rows[i].start, rows[i].end, other[rows[i].where], 0)
        found += "layout rows are true" in case.with_rows((*rows[:i], wrong, *rows[i + 1 :])).failed()
    assert found >= 5


def test_a_stack_row_with_another_offset(rewrite_of: Callable[..., Case]) -> None:
    case = rewrite_of("x86_64", "detour")
    rows = case.map.layout.rows
    i = next(i for i, row in enumerate(rows) if row.where is Where.STACK)
    wrong = replace(rows[i], offset=rows[i].offset + 8)
    assert case.with_rows((*rows[:i], wrong, *rows[i + 1 :])).failed() == {"layout rows are true"}


def frames_of(image: Image) -> list[tuple[int, int]]:
    """(address of the entry, start of its code) of every FDE."""
    found = read_frames(image)
    assert found is not None
    return [(found.address + fde.offset, fde.start) for fde in found.ordered]


def test_a_stale_fde(rewrite_of: Callable[..., Case]) -> None:
    """The new FDE of a moved function put back over its old body."""
    for arch in ("aarch64", "x86_64"):
        case = rewrite_of(arch, "insertion")
        before = {f.start: f.end for f in case.old.functions}
        moved = {u.target: u.start for u in case.some(What.JUMP) if u.start in before}
        entry, start = next((e, s) for e, s in frames_of(case.new) if s in moved)
        back = moved[start] + 8  # behind the jump, which has an FDE of its own
        damaged = case.poked(entry + 8, (back - entry - 8).to_bytes(4, "little", signed=True))
        assert UNWIND in damaged.failed()


@pytest.mark.parametrize(("arch", "mode"), [("aarch64", "detour"), ("x86_64", "insertion")])
def test_a_search_table_that_is_out_of_order_or_cut(arch: str, mode: str, tmp_path: Path) -> None:
    flags = ("--build-id", "--eh-frame-hdr")
    case = make(load_image(guests.build(tmp_path, arch, "none", "cell", (), flags)), mode, Flavour.MEMORY, Policy.USE)
    assert case.failed() == set()
    section = case.new.section(".eh_frame_hdr")
    assert section is not None
    table = section.address + 12
    first, second = (case.new.read(table + 8 * i, 8) for i in (0, 1))
    assert case.poked(table, second + first).failed() == {UNWIND}
    assert case.poked(table, second).failed() == {UNWIND}
    assert case.poked(section.address + 8, bytes(4)).failed() == {UNWIND}
    assert case.poked(section.address + 4, bytes(4)).failed() == {UNWIND}


def test_an_fde_that_says_something_else(analysed: Case) -> None:
    """One byte of the instructions of an FDE for new code."""
    found = read_frames(analysed.new)
    assert found is not None
    new = [fde for fde in found.ordered if analysed.pair.pieces.at(fde.start) and fde.length > 28]
    damaged = [analysed.poked(found.address + fde.begin, b"\x0e\x50") for fde in new[:5]]  # def_cfa_offset 80
    assert damaged
    assert all(UNWIND in case.failed() for case in damaged)


def test_a_symbol_left_behind(rewrite_of: Callable[..., Case]) -> None:
    case = rewrite_of("x86_64", "insertion")
    leaf = next(f for f in case.new.functions if f.name == "leaf")
    back = replace(leaf, start=case.old.symbols["leaf"])
    functions = tuple(sorted((back if f is leaf else f for f in case.new.functions), key=lambda f: f.start))
    assert replace(case, new=replace(case.new, functions=functions)).failed() == {"symbols follow the code"}


def test_a_census_that_forgets_or_invents(case: Case) -> None:
    census = case.map.census
    fewer = replace(census, left_out=census.left_out[1:])
    assert case.with_map(census=fewer).failed() == {"census accounts for every function"}
    more = replace(census, instrumented=census.instrumented + 1)
    assert case.with_map(census=more).failed() == {"census accounts for every function"}
    fib = SiteOut("fib", case.old.symbols["fib"], "an invented reason")
    lied = replace(census, left_out=(*census.left_out, fib))
    assert "census accounts for every function" in case.with_map(census=lied).failed()


def test_no_way_of_an_undamaged_image_is_lost(case: Case) -> None:
    ends = {way.to for way in (case.ways.follow(unit.start) for unit in case.some(What.JUMP, What.PUSH, What.POP))}
    assert End.LOST not in ends
