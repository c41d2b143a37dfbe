"""Old CIEs and FDEs at new places: what is relative to its own place is encoded anew, the rest is copied.

Source: LSB Core 5.0 section 10.6 (what is relative to what)."""

from __future__ import annotations

from lab.errors import InputError, RefusedError
from lab.metadata.cfi import Cie, Fde, Frames, rows
from lab.metadata.cfi_reader import ALIGNED, DATAREL, PCREL
from lab.metadata.cfi_state import CfiState
from rewriters.unwind.encode import pointer

_BASE = 0x70
_ADDRESS_OPERATION = b"\xf1"  # DW_OP_GNU_encoded_addr


def refuse(frames: Frames, position_independent: bool) -> None:
    """RefusedError if the section goes on behind its terminator, or a CIE's pointers cannot be written elsewhere:
    relative to a base we do not know, or absolute in an image whose loader relocates the old ones only."""
    if any(frames.data[frames.end :]):
        raise RefusedError(f"{frames.where}: .eh_frame goes on behind its terminator; link crtend.o last")
    for cie in frames.cies:
        used = (
            [cie.encoding] + [cie.personality_encoding] * bool(cie.personality) + [cie.lsda_encoding] * _has_lsda(cie)
        )
        for encoding in used:
            kind = encoding & _BASE
            if kind not in {0, PCREL} or (kind == 0 and position_independent):
                names = {0: "absolute", DATAREL: "relative to data", ALIGNED: "aligned"}
                raise RefusedError(
                    f"{frames.where}: .eh_frame's pointers are {names.get(kind, f'of encoding {encoding:#x}')}; "
                    "only pc-relative ones can be moved, link it again with another linker"
                )


def _has_lsda(cie: Cie) -> bool:
    return "L" in cie.augmentation


def copy_cie(frames: Frames, cie: Cie, place: int) -> bytes:
    """*cie* to stand at address *place*."""
    entry = bytearray(frames.data[cie.offset : cie.offset + cie.length])
    if cie.personality:
        inside = cie.personality_at - cie.offset
        new = pointer(cie.personality, cie.personality_encoding, place + inside, frames.where)
        entry[inside : inside + len(new)] = new
    return bytes(entry)


def copy_fde(frames: Frames, fde: Fde, place: int, cie_place: int) -> bytes:
    """*fde* to stand at address *place*, its CIE at *cie_place*."""
    entry = bytearray(frames.data[fde.offset : fde.offset + fde.length])
    entry[4:8] = (place + 4 - cie_place).to_bytes(4, "little")
    if fde.cie.encoding & _BASE == PCREL:
        new = pointer(fde.start, fde.cie.encoding, place + 8, frames.where)
        entry[8 : 8 + len(new)] = new
        for at, target in _locations(frames, fde):
            new = pointer(target, fde.cie.encoding, place + at - fde.offset, frames.where)
            entry[at - fde.offset : at - fde.offset + len(new)] = new
    if fde.lsda and fde.cie.lsda_encoding & _BASE == PCREL:
        inside = fde.lsda_at - fde.offset
        new = pointer(fde.lsda, fde.cie.lsda_encoding, place + inside, frames.where)
        entry[inside : inside + len(new)] = new
    return bytes(entry)


def _locations(frames: Frames, fde: Fde) -> list[tuple[int, int]]:
    """(offset, target) of every DW_CFA_set_loc operand.  Most programs hold no such byte and are not read at all."""
    program = frames.data[fde.begin : fde.offset + fde.length]
    try:
        if _ADDRESS_OPERATION in program and any(_self_relative(row.state) for row in rows(fde)):
            raise RefusedError(f"{frames.where}: the FDE at {fde.start:#x} has an address relative to its own place")
        return list(fde.program.locations()) if b"\x01" in program else []
    except RefusedError:
        raise
    except InputError as error:
        raise RefusedError(f"{error}; unwind information that cannot be read cannot be moved") from None


def _self_relative(state: CfiState) -> bool:
    expressions = [rule.expression for rule in state.registers.values()] + [state.cfa.expression or b""]
    return any(_ADDRESS_OPERATION in expression for expression in expressions)
