"""The columns against the lab's decoder: the same flow, no read or write missed, no overwriting invented."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.arch import arch_by_name
from lab.arch.decode import Insn, Kind, decode_one
from rewriters.census.a64 import scan as scan_a64
from rewriters.census.a64_registers import BITS, registers
from rewriters.census.scan import Effect, Flow, Op
from rewriters.census.x64_facts import fact
from tests.rewriters.census.asm import A64, X86
from tests.support import assemble

KINDS = {
    Flow.NONE: {Kind.OTHER, Kind.SYSCALL, Kind.REPEAT},
    Flow.CALL: {Kind.CALL},
    Flow.CALL_INDIRECT: {Kind.CALL},
    Flow.BRANCH: {Kind.BRANCH},
    Flow.SHORT: {Kind.BRANCH},
    Flow.JUMP: {Kind.JUMP},
    Flow.RETURN: {Kind.RETURN},
    Flow.INDIRECT: {Kind.INDIRECT},
    Flow.TRAP: {Kind.TRAP},
    Flow.FAR: {Kind.RETURN, Kind.INDIRECT, Kind.CALL, Kind.OTHER},
}
#: Mnemonics of which capstone says too much: shifts and extracts do not read their destination, hints touch no
#: register, stores of tags write none.
TOO_MUCH = tuple(
    "lsl lsr asr sxt uxt ubf sbf bfxil cb st xpac dc gmi irg subp addg subg ic at ld1 ld2 ld3 ld4 sysl fcvt scvtf "
    "ucvtf umov smov pac aut casp rmif".split()
)
#: Mnemonics whose setting of the flags capstone does not mention: SVE compares and loops, msr nzcv.
SILENT_FLAGS = ("cmp", "while", "msr", "fccmp")


def a64_word(word: int) -> tuple[Flow, int, int, int, dict[int, Effect]]:
    """(flow, reads, kills, writes, effects) of one word."""
    image = assemble(A64, "FUNC test_main\n ret\nEND test_main")
    text = next(s for s in image.sections if s.executable)
    alone = replace(image, sections=(replace(text, data=struct.pack("<I", word), size=4),), data_ranges=())
    found = scan_a64(alone)
    return Flow(found.flow[0]), int(found.reads[0]), int(found.kills[0]), int(found.writes[0]), found.effects


#: Words by class, so that most decode: branches, loads and stores, arithmetic, system, SIMD.
CLASSES = (0x1400_0000, 0x3400_0000, 0xD600_0000, 0xD500_0000, 0x1100_0000, 0x9100_0000, 0xA900_0000, 0x3800_0000,
           0xF800_0000, 0x0B20_0000, 0x1A80_0000, 0x9AC0_0000, 0x0800_0000, 0x1E20_0000, 0x0C00_0000,
           0x2500_0000)  # fmt: skip
WORDS = st.one_of(
    st.integers(0, 0xFFFF_FFFF),
    st.tuples(st.sampled_from(CLASSES), st.integers(0, 0x03FF_FFFF)).map(lambda pair: pair[0] ^ pair[1]),
)


@settings(max_examples=600, deadline=None)
@given(WORDS)
def test_an_aarch64_word_means_what_the_decoder_says(word: int) -> None:
    insn = decode_one(arch_by_name(A64), struct.pack("<I", word), 0)
    flow, reads, kills, writes, effects = a64_word(word)
    if insn.kind is Kind.UNDECODED or flow in {Flow.BAD, Flow.DATA}:  # too new for the decoder, or for us; reads itself
        return
    assert insn.kind in KINDS[flow] or word == 0xD61F_03C0, insn.text
    if flow in {Flow.TRAP, Flow.FAR}:
        return
    missed = {name for name in insn.reads if BITS.get(name, 0) & ~reads} if not too_much(insn) else set()
    assert not missed, insn.text
    known = insn.writes | ({"flags"} if insn.mnemonic.startswith(SILENT_FLAGS) else set())
    assert not {name for name, bit in BITS.items() if bit & kills and name not in known}, insn.text
    if flow is Flow.NONE and not too_much(insn):
        assert not {name for name in insn.writes if BITS.get(name, 0) & ~writes}, insn.text
        for name, ops in (("sp", SP_OPS), ("x29", FP_OPS), ("x30", LR_OPS)):
            if name in insn.writes:
                assert any(op[0] in ops for op in effects.get(0, ())), insn.text


SP_OPS = {Op.SP_ADD, Op.SP_FP, Op.SP_REG, Op.SP_ALIGN, Op.SP_LOST, Op.SP_LOAD, Op.SP_MOVE}
FP_OPS = {Op.FP_SP, Op.FP_ADD, Op.FP_LOST}
LR_OPS = {Op.LR_LOAD, Op.LR_LOST, Op.LR_REG}


def too_much(insn: Insn) -> bool:
    """Whether capstone is known to claim reads or writes that do not happen."""
    return insn.mnemonic.startswith(TOO_MUCH)


X86_TRACKED = {"r10": 1, "r11": 2, "flags": 4}
OPCODES = (b"\x89", b"\x8b", b"\x01", b"\x03", b"\x39", b"\x31", b"\x83", b"\x81", b"\x8d", b"\x50", b"\x5b", b"\xff",
           b"\xc3", b"\xc9", b"\xe8", b"\xe9", b"\x74", b"\x0f\xb6", b"\x0f\x44", b"\x0f\x94", b"\x87", b"\xc1",
           b"\xd3", b"\xf7", b"\x63", b"\x0f\xb1", b"\x0f\xc1", b"\xe2")  # fmt: skip
CODES = st.tuples(
    st.sampled_from([b"", b"\x41", b"\x45", b"\x48", b"\x49", b"\x4c", b"\x4d", b"\x66", b"\xf0", b"\xf3"]),
    st.sampled_from(OPCODES),
    st.binary(min_size=9, max_size=9),
).map(b"".join)


@settings(max_examples=1500, deadline=None)
@given(CODES)
def test_an_x86_instruction_means_what_the_decoder_says(code: bytes) -> None:
    insn = decode_one(arch_by_name(X86), code, 0x1000)
    if insn.kind is Kind.UNDECODED:
        return
    found = fact(insn.mnemonic, insn.op_str, insn.raw)
    assert insn.kind in KINDS[found.flow], insn.text
    assert found.direct == (insn.target is not None), insn.text
    if found.flow is not Flow.NONE:
        return
    assert not {n for n in insn.reads if X86_TRACKED.get(n, 0) & ~found.reads and not zeroes(insn, n)}, insn.text
    known = insn.writes | {"flags"}  # capstone passes over many that set them
    assert not {n for n, bit in X86_TRACKED.items() if bit & found.kills and n not in known}, insn.text
    assert not {n for n in insn.writes if X86_TRACKED.get(n, 0) & ~found.writes}, insn.text
    for name, ops in (("rsp", SP_OPS), ("rbp", FP_OPS)):
        if name in insn.writes:
            assert any(op[0] in ops for op in found.effects), insn.text


def zeroes(insn: Insn, name: str) -> bool:
    """xor of a register with itself reads it in name only."""
    first, _, second = insn.op_str.partition(", ")
    return insn.mnemonic == "xor" and first == second and name != "flags"


@pytest.mark.parametrize("word", [0xD503237F, 0xD50323FF, 0xD503233F, 0xDAC143FE])
def test_signing_the_link_register_leaves_it_the_return_address(word: int) -> None:
    assert a64_word(word)[4] == {}  # pacibsp, autibsp's like, paciasp, xpaci x30


def test_a_vector_of_words_is_read_as_each_alone() -> None:
    words = np.array([0xA9BE7BFD, 0x910003FD, 0x94000010, 0xA8C27BFD, 0xD65F03C0], np.uint32)
    flow = np.array([Flow.NONE, Flow.NONE, Flow.CALL, Flow.NONE, Flow.RETURN], np.uint8)
    found = registers(words, flow)
    for i, word in enumerate(words.tolist()):
        _, reads, kills, _, _ = a64_word(word)
        assert (int(found.reads[i]), int(found.kills[i])) == (reads, kills)
