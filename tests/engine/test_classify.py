"""Calls, and where stores write: the native engine's decoder against the processor and against the other decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab.arch import AARCH64, ARCHES, X86_64, Arch, arch_by_name
from lab.arch.decode import Kind, decode_one
from lab.engine.native import crosscheck
from lab.engine.native.classify import (
    CALL,
    NO_REGISTER,
    PC,
    REPEAT,
    RETURN,
    ROW_REGISTERS,
    SIGN_EXTEND,
    STORE,
    UNPREDICTED,
    ZERO_EXTEND,
    Classified,
    classify,
    predicted,
)
from lab.engine.native.crosscheck import MOST_LINES, StoreCheck, check_stores
from lab.images.build import build
from lab.images.image import Image, load_image
from lab.images.workloads import all_workloads
from lab.machine.machine import Limits
from tests.engine import store_forms
from tests.support import ARCH_NAMES, assemble

LIMITS = Limits(2_000_000, 60)
START_STORES = {"aarch64": 2, "x86_64": 4}
"""Stores of tests.support.START: two frame stores; three and the call."""


def image_of(arch: str, forms: Sequence[str]) -> Image:
    text = "\n".join(f"{store_forms.SETUP[arch]}\n{form}" for form in forms)
    return assemble(arch, store_forms.BODY[arch].replace("{forms}", text))


def classified(image: Image) -> Iterator[tuple[int, Classified]]:
    """Every instruction of test_main."""
    main = next(function for function in image.functions if function.name == "test_main")
    pc = main.start
    while pc < main.end:
        found = classify(image.arch, image.read(pc, min(16, main.end - pc)), pc)
        yield pc, found
        pc += found.size


def count(image: Image, flag: int) -> int:
    return sum(bool(found.flags & flag) for _, found in classified(image))


# -- against the processor --------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ARCHES, ids=lambda arch: arch.name)
def test_every_store_of_every_workload_is_predicted(arch: Arch) -> None:
    stores = 0
    for workload in all_workloads():
        if arch.name in workload.arches:
            check = check_stores(load_image(build(workload, arch)), None, LIMITS)
            assert check.wrong == [], workload.name
            assert (check.faults, check.unpredicted, check.surplus, check.wide) == (0, 0, 0, 0), workload.name
            stores += check.matched
    assert stores > 10_000


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_every_form_is_predicted_to_the_byte(arch: str) -> None:
    forms = store_forms.PREDICTED[arch]
    image = image_of(arch, forms)
    assert count(image, UNPREDICTED) == 0
    assert count(image, STORE) == len(forms)
    check = check_stores(image, None, LIMITS)
    assert check.wrong == []
    assert (check.matched, check.wide) == (len(forms) + START_STORES[arch], 0)
    assert (check.unpredicted, check.surplus, check.faults) == (0, 0, 0)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_store_that_no_row_can_describe_owns_up_to_it(arch: str) -> None:
    forms = store_forms.UNPREDICTED[arch]
    check = check_stores(image_of(arch, forms), None, LIMITS)
    assert check.wrong == []
    assert (check.unpredicted, check.matched) == (len(forms), START_STORES[arch])


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_prediction_that_does_not_come_true_is_surplus(arch: str) -> None:
    forms = store_forms.SURPLUS[arch]
    check = check_stores(image_of(arch, forms), None, LIMITS)
    assert check.wrong == []
    assert (check.surplus, check.unpredicted) == (len(forms), 0)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_what_writes_nothing_has_no_flags(arch: str) -> None:
    image = image_of(arch, store_forms.SILENT[arch])
    flagged = [
        decode_one(image.arch, image.read(pc, 16), pc).text for pc, found in classified(image) if found.flags & ~RETURN
    ]
    assert [decode_one(image.arch, image.read(pc, 16), pc).text for pc in flagged] == []
    check = check_stores(image, None, LIMITS)
    assert (check.matched, check.unpredicted, check.faults) == (START_STORES[arch], 0, 0)


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize(
    "damage",
    [lambda row: row ^ 512 << 32, lambda row: row - (1 << 24), lambda row: row ^ 1],
    ids=["displacement", "size", "base"],
)
def test_a_wrong_row_is_found(arch: str, damage: Callable[[int], int], monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(a: Arch, code: bytes, pc: int) -> Classified:
        found = classify(a, code, pc)
        return found._replace(row=damage(found.row)) if found.flags & STORE else found

    monkeypatch.setattr(crosscheck, "classify", damaged)
    check = check_stores(image_of(arch, store_forms.PREDICTED[arch][:20]), None, LIMITS)
    assert check.faults >= 20
    assert len(check.wrong) == MOST_LINES
    assert "test_main" in " ".join(check.wrong)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_store_that_is_missed_is_found(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crosscheck, "classify", lambda a, code, pc: Classified(4, 0, 0))
    check = check_stores(image_of(arch, store_forms.PREDICTED[arch][:5]), None, LIMITS)
    assert check.faults == 5 + START_STORES[arch]
    assert all("predicted no store, wrote" in line and line.count("\n") == 0 for line in check.wrong)


def test_an_overrun_of_a_repeated_store_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Iterations after the first are predicted too: with half the size the second one is outside."""
    halved = Classified(3, STORE | REPEAT, 7 | NO_REGISTER << 8 | 4 << 24)

    def damaged(a: Arch, code: bytes, pc: int) -> Classified:
        found = classify(a, code, pc)
        return halved if found.flags & REPEAT else found

    monkeypatch.setattr(crosscheck, "classify", damaged)
    check = check_stores(image_of("x86_64", ["rep stosq"]), None, LIMITS)
    assert check.faults == 1


def test_a_wild_store_that_ends_the_run_was_not_written() -> None:
    image = assemble("x86_64", "FUNC test_main\n movabs $0xbd99152a1d384586, %rdi\n stosb\nEND test_main\n")
    check = check_stores(image, None, LIMITS)
    assert (check.wrong, check.surplus) == ([], 1)


# -- the row ----------------------------------------------------------------------------------------------

HIGH = 0xFFFF_8000_0000_0000


@pytest.mark.parametrize(
    ("base", "index", "extend", "displacement", "expected"),
    [
        (0, NO_REGISTER, 0, -16, HIGH - 16),
        (0, 1, 3, 0, HIGH + (0x1_FFFF_FFF0 << 3)),
        (0, 1, ZERO_EXTEND | 2, 4, HIGH + (0xFFFF_FFF0 << 2) + 4),
        (0, 1, SIGN_EXTEND | 4, 0, HIGH - 256),
        (NO_REGISTER, 1, 0, -1, 0x1_FFFF_FFEF),
        (PC, NO_REGISTER, 0, -(1 << 31), 0x4000 - (1 << 31) & (1 << 64) - 1),
        (2, NO_REGISTER, 0, 8, 7),
    ],
)
def test_addresses_wrap_and_indices_extend(
    base: int, index: int, extend: int, displacement: int, expected: int
) -> None:
    row = base | index << 8 | extend << 16 | 8 << 24 | (displacement & 0xFFFF_FFFF) << 32
    assert predicted(row, (HIGH, 0x1_FFFF_FFF0, (1 << 64) - 1), 0x4000) == (expected, 8)


@pytest.mark.parametrize("arch", ARCHES, ids=lambda arch: arch.name)
def test_a_row_names_the_general_registers(arch: Arch) -> None:
    assert set(ROW_REGISTERS[arch.name]) == set(arch.gprs)


# -- against the other decoder ----------------------------------------------------------------------------


def compare(arch: Arch, code: bytes) -> None:
    found, other = classify(arch, code, 0x1000), decode_one(arch, code, 0x1000)
    assert found.size == other.size, other.text
    assert bool(found.flags & CALL) == (other.kind is Kind.CALL), other.text
    assert bool(found.flags & RETURN) == (other.mnemonic.split()[-1] in {"ret", "retaa", "retab"}), other.text
    assert bool(found.flags & REPEAT) == (other.kind is Kind.REPEAT), other.text
    assert found.flags & (STORE | UNPREDICTED) != STORE | UNPREDICTED
    assert bool(found.row) == bool(found.flags & STORE)
    if found.flags & STORE:
        registers = [0x7F_0000_0000 + 0x1000 * i for i in range(len(ROW_REGISTERS[arch.name]))]
        address, size = predicted(found.row, registers, 0x1000)
        assert 0 <= address < 1 << 64
        assert 1 <= size <= 255
    if other.kind in {Kind.JUMP, Kind.BRANCH, Kind.RETURN} and arch is AARCH64:
        assert found.flags & ~RETURN == 0, other.text


BRANCH_REGISTER = st.builds(
    lambda kind, op, register, low: 0xD61F_0000 | kind << 21 | op << 10 | register << 5 | low,
    st.integers(0, 15), st.integers(0, 3), st.integers(0, 31), st.integers(0, 31),
)  # fmt: skip
WORDS = st.one_of(st.integers(0, (1 << 32) - 1), BRANCH_REGISTER)


@settings(max_examples=1500, deadline=None)
@given(WORDS)
@example(0x9400_0001)
@example(0xD63F_0000)
@example(0xD63F_081F)
@example(0xD73F_0C41)
def test_the_two_decoders_agree_on_any_aarch64_word(word: int) -> None:
    compare(AARCH64, word.to_bytes(4, "little"))


X86_BYTES = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.builds(
        lambda prefixes, rex, opcode, rest: (bytes(prefixes) + rex + opcode + rest)[:16],
        st.lists(st.sampled_from(b"\x66\xf2\xf3\xf0\x2e\x64\x67"), max_size=3),
        st.sampled_from([b"", b"\x40", b"\x48", b"\x4d"]),
        st.sampled_from([b"\xe8", b"\xff", b"\xa4", b"\xa5", b"\xab", b"\xae", b"\x0f\x11", b"\xc5\xf8\x11"])
        | st.integers(0, 255).map(lambda byte: bytes([byte])),
        st.binary(min_size=16, max_size=16),
    ),
)


@settings(max_examples=3000, deadline=None)
@given(X86_BYTES)
@example(bytes.fromhex("f2a5").ljust(16, b"\0"))
@example(bytes.fromhex("48ff18").ljust(16, b"\0"))
@example(bytes.fromhex("f3c3").ljust(16, b"\0"))
def test_the_two_decoders_agree_on_any_x86_bytes(code: bytes) -> None:
    compare(X86_64, code)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_cut_off_code_may_do_anything(arch: str) -> None:
    found = arch_by_name(arch)
    for code in (b"", b"\x48", b"\xe8\x00"):
        assert classify(found, code, 0) == (found.insn_align, UNPREDICTED, 0)


@pytest.mark.parametrize(
    "word", [0x0451_A000, 0xE400_E000, 0xC00800FF, 0xD50B_7421, 0xD508_7620, 0xD52B_7040, 0xD548_7000, 0x1D01_0400]
)
def test_vector_extensions_and_system_instructions_may_write_anywhere(word: int) -> None:
    """SVE, SVE st1b, SME zero, dc zva, dc ivac, sysl, sysp, memory copy."""
    assert classify(AARCH64, word.to_bytes(4, "little"), 0) == (4, UNPREDICTED, 0)


def test_a_check_sums_to_the_instructions_it_saw() -> None:
    assert StoreCheck(matched=3, wide=1, unpredicted=2, surplus=1, silent=4, faults=1).instructions == 11
