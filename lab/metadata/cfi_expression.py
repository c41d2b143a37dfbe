"""Which registers a DWARF expression reads.

Source: DWARF 5 section 7.7.1 (operations and their operands); GNU's DW_OP_GNU_encoded_addr is known by its number.
"""

from __future__ import annotations

from lab.metadata.cfi_reader import Reader

_ENCODED_ADDRESS = 0xF1  # its operand may be relative to its own place
#: Operation -> bytes of its fixed-size operands; every operation without operands has 0.
_FIXED = {0x03: 8, 0x08: 1, 0x09: 1, 0x0A: 2, 0x0B: 2, 0x0C: 4, 0x0D: 4, 0x0E: 8, 0x0F: 8, 0x15: 1, 0x28: 2, 0x2F: 2}
_FIXED |= dict.fromkeys([0x06, *range(0x12, 0x15), 0x16, 0x17, *range(0x19, 0x23), *range(0x24, 0x28)], 0)
_FIXED |= dict.fromkeys([*range(0x29, 0x2F), *range(0x30, 0x50), 0x96], 0) | {0x94: 1}
_ONE_LEB = frozenset({0x10, 0x11, 0x23})  # constu, consts, plus_uconst
_REG, _BREG, _REGX, _BREGX = 0x50, 0x70, 0x90, 0x92


def registers_read(expression: bytes, where: str) -> frozenset[int]:
    """DWARF numbers of the registers that *expression* reads; InputError naming *where* if it is damaged, or uses
    an operation that call-frame expressions do not have (DWARF 5 section 6.4.2: no frame base, no objects)."""
    code = Reader(expression, 0, where, section="DWARF expression")
    found = set()
    while code.at < code.end:
        op = code.byte()
        if op in _FIXED:
            code.skip(_FIXED[op])
        elif op in _ONE_LEB:
            code.uleb()
        elif _REG <= op < _BREG:
            found.add(op - _REG)
        elif _BREG <= op < _REGX:
            found.add(op - _BREG)
            code.sleb()
        elif op in {_REGX, _BREGX}:
            found.add(code.uleb())
            if op == _BREGX:
                code.sleb()
        elif op == _ENCODED_ADDRESS:
            raise code.fail("an address relative to the expression's own place", code.at - 1)
        else:
            raise code.fail(f"operation {op:#x} does not belong in call-frame information", code.at - 1)
    return frozenset(found)
