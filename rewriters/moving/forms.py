"""What both architectures' carriers share: the result, fields, and the text a re-encoded instruction must have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.arch import Arch
from lab.arch.decode import Insn
from lab.errors import RefusedError
from rewriters import encode

#: Original address -> the address that stands for it now.
Resolve = Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Moved:
    """One instruction at its new address.  ``parts``: what was emitted, each with the text capstone must read back:
    whoever writes them sees to that (``read_back``, or rewriters.text)."""

    raw: bytes
    parts: tuple[tuple[bytes, str], ...]

    def read_back(self, arch: Arch, pc: int) -> bytes:
        """``raw``, after capstone has read every part back at *pc*; EngineError if it reads anything else."""
        for raw, text in self.parts:
            encode.read_back(arch, raw, pc, text)
            pc += len(raw)
        return self.raw


def verbatim(insn: Insn) -> Moved:
    """*insn* byte for byte."""
    return Moved(insn.raw, ((insn.raw, insn.text),))


def assembled(parts: list[tuple[bytes, str]]) -> Moved:
    """*parts* one behind the other."""
    return Moved(b"".join(raw for raw, _ in parts), tuple(parts))


def signed(value: int, bits: int) -> int:
    """The low *bits* of *value* as a two's complement number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def field(insn: Insn, distance: int, bits: int, scale: int) -> int:
    """*distance* / *scale* as an unsigned field of *bits*; RefusedError if *insn* cannot express it."""
    if distance % scale or not -(1 << (bits - 1)) <= distance // scale < 1 << (bits - 1):
        raise RefusedError(
            f"'{insn.text}' at {insn.address:#x} cannot be made to reach {distance:+#x} bytes; keep the code nearer"
        )
    return (distance // scale) & ((1 << bits) - 1)


def refuse(insn: Insn, why: str) -> RefusedError:
    """The refusal to carry *insn*."""
    return RefusedError(f"'{insn.text}' at {insn.address:#x} cannot be carried: {why}; leave its function where it is")
