"""Each operator changes exactly what it says, gives the same for the same seed, and can be undone."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.arch import AARCH64, X86_64
from lab.arch.decode import Kind, decode
from lab.errors import InputError
from lab.metadata.rules import Format, RuleTable
from lab.mutation.api import Executed, Loaded, LookedUp, Mutant, Operator, kind_of, operators, parse_id
from lab.mutation.code import independent
from lab.mutation.encodings import grown, is_frame_setup
from lab.mutation.ground import Ground
from lab.mutation.metadata import changed
from lab.mutation.patch import nop, patched
from lab.mutation.rewrite import sequences, undone
from lab.mutation.run import draw
from tests.metadata.strategies import tables

SEEDS = st.integers(0, 1 << 32)
FEW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def of_kind(kind: str) -> st.SearchStrategy[Operator]:
    return st.sampled_from(list(operators()[kind].values()))


def code(ground: Ground) -> dict[int, bytes]:
    return {segment.address: segment.data for segment in ground.image.segments}


def test_every_kind_has_operators_and_each_says_what_it_stands_for() -> None:
    known = operators()
    assert {kind: len(found) for kind, found in known.items()} == {
        "metadata": 7, "code": 4, "memory": 4, "rewrite": 3,
    }  # fmt: skip
    assert all(operator.bug for found in known.values() for operator in found.values())
    assert all(kind_of(name) == kind for kind, found in known.items() for name in found)


@given(seed=SEEDS, operator=of_kind("metadata"))
@FEW
def test_a_metadata_mutant_changes_the_rows_it_names_and_not_the_image(
    ground: Ground, seed: int, operator: Operator
) -> None:
    (at,) = operator.draw(ground, random.Random(seed), 1)
    mutated = operator.apply(ground, at)
    assert mutated.image is ground.image
    assert not mutated.pokes
    assert isinstance(mutated.reach, LookedUp)
    ranges = dict(mutated.reach.tables)
    assert ranges[Format.DWARF]
    for table in mutated.rows:
        before = ground.tables[table.kind]
        for row in {*before.rows, *table.rows}:
            for address in (row.start, row.end - 1):
                inside = any(low <= address < high for low, high in ranges[table.kind])
                assert (before.at(address) != table.at(address)) == inside


@given(before=tables(), after=tables())
@FEW
def test_what_changed_is_every_address_with_another_rule_and_no_other(before: RuleTable, after: RuleTable) -> None:
    ranges = changed(before, after)
    edges = {edge for table in (before, after) for row in table.rows for edge in (row.start, row.end)}
    for address in sorted({probe for edge in edges for probe in (edge - 1, edge)}):
        assert (before.at(address) != after.at(address)) == any(low <= address < high for low, high in ranges)


@given(seed=SEEDS, operator=of_kind("code") | of_kind("rewrite"))
@FEW
def test_a_patch_changes_its_ranges_only_and_can_be_taken_back(ground: Ground, seed: int, operator: Operator) -> None:
    drawn = operator.draw(ground, random.Random(seed), 1)
    for at in drawn:
        mutated = operator.apply(ground, at)
        assert mutated.image.sha256 != ground.image.sha256
        assert isinstance(mutated.reach, Executed)
        old = {low: ground.image.read(low, high - low) for low, high in mutated.reach.ranges}
        new = {low: mutated.image.read(low, high - low) for low, high in mutated.reach.ranges}
        assert any(old[low] != new[low] for low in old)
        assert patched(ground.image, new).segments == mutated.image.segments
        back = patched(mutated.image, old)
        assert (back.segments, back.sections) == (ground.image.segments, ground.image.sections)
        for low, data in new.items():
            assert sum(insn.size for insn in decode(ground.arch, data, low)) == len(data)


@given(seed=SEEDS, operator=of_kind("memory"))
@FEW
def test_an_errant_store_is_undone_before_the_program_looks(ground: Ground, seed: int, operator: Operator) -> None:
    for at in operator.draw(ground, random.Random(seed), 1):
        mutated = operator.apply(ground, at)
        assert mutated.image is ground.image
        assert isinstance(mutated.reach, Loaded)
        wrong, right = mutated.pokes
        assert (wrong.address, wrong.data) == (at[1], at[2].to_bytes(8, "little"))
        assert (right.address, right.data) == (at[1], at[3].to_bytes(8, "little"))
        assert wrong.at == mutated.reach.first < mutated.reach.end == right.at
        assert ground.trace.next_access(at[1], wrong.at) == right.at


@given(seed=SEEDS, kind=st.sampled_from(["metadata", "code", "memory", "rewrite"]))
@settings(FEW, max_examples=6)
def test_a_draw_is_repeated_by_its_seed_and_its_names_are_enough(ground: Ground, seed: int, kind: str) -> None:
    drawn = draw(ground, kind, 5, seed)
    assert drawn == draw(ground, kind, 5, seed)
    assert len(set(drawn)) == len(drawn) == 5
    assert [parse_id(mutant.id) for mutant in drawn] == drawn
    for mutant in drawn:
        operator = operators()[kind][mutant.operator]
        assert replace(operator.apply(ground, mutant.at)) == operator.apply(ground, mutant.at)


def test_numbers_that_name_no_mutant_are_refused(ground: Ground) -> None:
    for found in operators().values():
        for operator in found.values():
            with pytest.raises(InputError, match="no mutant"):
                operator.apply(ground, (1 << 63,))


@pytest.mark.parametrize("text", ["", "x", "arm64:a:b:row-dropped", "arm64:a:b:row-dropped:zz", "arm64:a:b:no-such:1"])
def test_what_is_no_name_of_a_mutant_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_id(text)
    assert len(caught.value.lines) == 1


def test_a_name_takes_the_aliases_of_architectures() -> None:
    assert parse_id("arm64:tree:base:cfa-offset:401000.-10").id == "aarch64:tree:base:cfa-offset:401000.-10"
    assert isinstance(parse_id("arm64:tree:base:cfa-offset:401000.-10"), Mutant)


@given(size=st.integers(1, 15))
def test_a_nop_is_one_instruction_of_its_size(size: int) -> None:
    (found,) = decode(X86_64, nop(X86_64, size), 0x1000)
    assert found.size == size
    assert found.mnemonic == "nop"
    assert not found.writes
    assert [insn.text for insn in decode(AARCH64, nop(AARCH64, 4), 0)] == ["nop"]


@given(imm=st.integers(1, 0xFFF), opens=st.booleans())
def test_a_grown_adjustment_is_the_same_one_with_a_larger_size(imm: int, opens: bool) -> None:
    word = (0xD100_03FF if opens else 0x9100_03FF) | imm << 10
    (insn,) = decode(AARCH64, word.to_bytes(4, "little"), 0)
    made = grown(AARCH64, insn, 16)
    assert (made is None) == (imm + 16 > 0xFFF)
    if made is not None:
        (after,) = decode(AARCH64, made.raw, 0)
        assert after.text == f"{'sub' if opens else 'add'} sp, sp, #{hex(imm + 16) if imm + 16 > 9 else imm + 16}"
        assert made.opens == opens
        back = grown(AARCH64, after, -16)
        assert back is not None
        assert back.raw == insn.raw


@given(pairs=st.integers(1, 63), opens=st.booleans())
def test_a_grown_pair_moves_by_sixteen_more(pairs: int, opens: bool) -> None:
    scaled = -pairs if opens else pairs
    word = (0xA980_03E0 if opens else 0xA8C0_03E0) | 30 << 10 | 29 | (scaled & 0x7F) << 15
    (insn,) = decode(AARCH64, word.to_bytes(4, "little"), 0)
    made = grown(AARCH64, insn, 16)
    limit = 64 if opens else 63
    assert (made is None) == (pairs + 2 > limit)
    if made is not None:
        (after,) = decode(AARCH64, made.raw, 0)
        moved = -8 * (pairs + 2) if opens else 8 * (pairs + 2)
        assert int(after.op_str.rstrip("!]").rsplit("#", 1)[1], 0) == moved
        assert after.op_str.split(", ")[:2] == ["x29", "x30"]


@pytest.mark.parametrize(
    ("arch", "raw", "holds"),
    [
        (AARCH64, "fd030091", True),  # mov x29, sp
        (AARCH64, "fd430091", True),  # add x29, sp, #0x10
        (AARCH64, "fd0300aa", False),  # mov x29, x0
        (X86_64, "4889e5", True),  # mov rbp, rsp
        (X86_64, "4889fd", False),  # mov rbp, rdi
    ],
)
def test_what_sets_up_fp_is_recognised(arch: object, raw: str, holds: bool) -> None:
    assert arch in (AARCH64, X86_64)
    chosen = AARCH64 if arch is AARCH64 else X86_64
    (insn,) = decode(chosen, bytes.fromhex(raw), 0)
    assert is_frame_setup(chosen, insn) == holds


@pytest.mark.parametrize(
    ("raw", "holds"),
    [
        ("fd030091e1031f2a", True),  # mov x29, sp; mov w1, wzr
        ("fd030091a00300f9", False),  # mov x29, sp; str x0, [x29]
        ("e00700f9e10b00f9", False),  # two stores
        ("fd0300910000" + "0090", False),  # an adrp is relative to its place
    ],
)
def test_only_what_does_not_depend_on_each_other_changes_places(raw: str, holds: bool) -> None:
    first, second = decode(AARCH64, bytes.fromhex(raw), 0x1000)
    assert independent(first, second) == holds


def test_a_site_undone_keeps_its_instructions_and_what_moves_sp(ground: Ground) -> None:
    every = sequences(ground)
    assert {site.pushes for site in every} == {True, False}
    for site in every:
        edits = undone(ground, site)
        assert edits
        for insn in site.insns:
            (after,) = decode(ground.arch, edits.get(insn.address, insn.raw), insn.address)
            assert after.size == insn.size
            assert (ground.arch.sp in after.writes) == (ground.arch.sp in insn.writes)
            if insn.kind is Kind.OTHER and ground.arch.sp not in insn.writes:
                assert after.mnemonic == "nop"
