"""Code as a processor fetches it: an instruction that lies in two mappings, of which the guest may write one."""

from __future__ import annotations

import pytest

from lab.arch.decode import Kind
from lab.images.image import Image
from lab.machine.machine import Machine
from lab.machine.memory import GuestMemory
from lab.registry import unwinder
from lab.unwind.api import BOUNDARY
from tests.engine.native.agreement import assert_agree, case
from tests.support import assemble

#: The opcode is the last byte of the text, its operand the first four of a segment the guest writes.
STRADDLES = """
FUNC one
 ret
END one
FUNC two
 ret
END two
FUNC test_main
 call straddles
 {change}
 call straddles
 xor %eax, %eax
 ret
END test_main
 .balign 4096
 .skip 4095
FUNC straddles
 .byte {opcode}
END straddles
 .section .changing, "awx", @progbits
 .balign 4096
operand:
 {operand}
behind: ret
"""
CALL = STRADDLES.format(opcode="0xe8", operand=".long one - behind", change="addl $(two - one), operand(%rip)")


def straddling(text: str) -> Image:
    image = assemble("x86_64", text)
    starts = [mapping.start for mapping in Machine(image).mappings]
    assert image.symbols["straddles"] + 1 == image.symbols["operand"]
    assert image.symbols["operand"] in starts
    return image


def test_what_reaches_into_a_changeable_page_is_decoded_anew() -> None:
    machine = Machine(straddling(CALL))
    symbols, seen = machine.image.symbols, []

    def look(pc: int) -> None:
        if pc == symbols["straddles"]:
            seen.append(machine.insn_at(pc))

    assert machine.execute(look).status == 0
    assert [(insn.kind, insn.target) for insn in seen] == [(Kind.CALL, symbols["one"]), (Kind.CALL, symbols["two"])]


def test_both_engines_see_such_a_call() -> None:
    image = straddling(CALL)
    execution = assert_agree(case(image, (unwinder("fp"), unwinder("oracle"))))
    assert execution.calls == 5
    for name in ("one", "two"):
        (stops,) = (
            t.stops for t in execution.tallies if (t.pc, t.mode, t.unwinder) == (image.symbols[name], BOUNDARY, 1)
        )
        assert stops == 1


@pytest.mark.parametrize(("executable", "gap", "found"), [(True, 0, b"ABcd"), (False, 0, b"AB"), (True, 0x1000, b"AB")])
def test_a_fetch_goes_on_only_into_code_that_follows(executable: bool, gap: int, found: bytes) -> None:
    memory = GuestMemory()
    memory.add(0x1000, 0x1000, "one", writable=False, executable=True)
    memory.add(0x2000 + gap, 0x1000, "other", writable=True, executable=executable)
    memory.write(0x1FFE, b"AB")
    memory.write(0x2000 + gap, b"cdef")
    assert memory.fetch(0x1FFE, 4) == found
    assert memory.fetch(0x9000, 4) == b""
