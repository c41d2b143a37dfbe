"""Instructions that unicorn takes for other ones and runs without a word.

x86-64, unicorn 2.1 (its QEMU has no AVX): after a VEX prefix the opcode is run as without one, so that most AVX
instructions of 128 bits become the SSE instruction with the same opcode, with its two operands instead of three; and
an XOP prefix is read as ``pop``.  Encodings: Intel SDM vol. 2, 2.3.5 (VEX) and appendix A; AMD APM vol. 3, 1.2.5 (XOP).
What unicorn faults on (EVEX, and VEX after 66, f2, f3, lock or REX) is left to it.
"""

from __future__ import annotations

from lab.arch import Arch

#: Prefixes that VEX and XOP may follow: segments, and the size of addresses.
_BEFORE_VEX = b"\x26\x2e\x36\x3e\x64\x65\x67"
_VEX2, _VEX3, _XOP = 0xC5, 0xC4, 0x8F
#: BMI1 and BMI2 by (opcode map, opcode): VEX over general registers, which unicorn runs as they are.
_BMI = frozenset({(2, 0xF2), (2, 0xF3), (2, 0xF5), (2, 0xF6), (2, 0xF7), (3, 0xF0)})


def misread(arch: Arch, code: bytes) -> str:
    """What is wrong with running the instruction at the start of *code*, and what to do; "" where nothing is."""
    return _x86_64(code) if arch.name == "x86_64" else ""


def _x86_64(code: bytes) -> str:
    rest = code.lstrip(_BEFORE_VEX) + bytes(4)
    first, second = rest[0], rest[1]
    if first == _VEX2 or (first == _VEX3 and (second & 0x1F, rest[3]) not in _BMI):
        return "AVX instruction; the emulator runs it as SSE; build without -mavx"
    if first == _XOP and second >> 3 & 7:  # pop has 0 in that field
        return "XOP instruction; the emulator runs it as pop; build without -mxop"
    return ""
