"""Decoding is cached by content: the same bytes elsewhere must read as they do there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.arch import AARCH64, ARCHES, X86_64
from lab.arch import decode as module
from lab.arch.decode import Kind, decode_one

RELATIVE = {
    "adr": (AARCH64, "20000010"),
    "adrp": (AARCH64, "20000090"),
    "ldr literal": (AARCH64, "40000058"),
    "ldrsw literal": (AARCH64, "40000098"),
    "prfm literal": (AARCH64, "400000d8"),
    "b": (AARCH64, "02000014"),
    "bc.eq": (AARCH64, "50000054"),
    "cbz": (AARCH64, "400000b4"),
    "tbz": (AARCH64, "40000036"),
    "call": (X86_64, "e810000000"),
    "jmp": (X86_64, "eb10"),
    "jne": (X86_64, "7510"),
    "loop": (X86_64, "e2fe"),
}


@pytest.mark.parametrize("name", RELATIVE)
def test_a_pc_relative_instruction_moves_with_its_address(name: str) -> None:
    arch, code = RELATIVE[name]
    texts = {decode_one(arch, bytes.fromhex(code), address).text for address in (0x400000, 0x500000)}
    assert len(texts) == 2


@pytest.mark.parametrize("arch", ARCHES, ids=lambda arch: arch.name)
@given(code=st.binary(min_size=15, max_size=15), first=st.integers(0, 1 << 40), second=st.integers(0, 1 << 40))
def test_a_warm_cache_gives_what_a_cold_one_gives(arch, code: bytes, first: int, second: int) -> None:
    here, there = first & -4, second & -4
    decode_one(arch, code, here)
    warm = decode_one(arch, code, there)
    module._seen.clear()
    assert warm == decode_one(arch, code, there)


def test_a_hinted_conditional_branch_is_a_branch() -> None:
    """FEAT_HBC's bc.cond, which capstone puts into no group."""
    insn = decode_one(AARCH64, bytes.fromhex("50000054"), 0x400000)
    assert (insn.kind, insn.target, "flags" in insn.reads) == (Kind.BRANCH, 0x400008, True)
