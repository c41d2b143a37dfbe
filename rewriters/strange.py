"""Functions in which nobody can tell where the return address is: left out, with rows that say "unknown"."""

from __future__ import annotations

from lab.arch.decode import Kind, decode
from lab.images.flow import decode_function
from lab.images.image import Image
from lab.layout import SiteOut, Where
from rewriters.census import ExitKind, Survey
from rewriters.moving import refers_to
from rewriters.pairing import entry_rows

#: How the census's reason begins for functions that pop their own return address.
_POPS_ITS_OWN = "moves the stack pointer above"
_FROM_ENTRY = "the program's entry jumps here: there is nobody to return to"


def not_understood(image: Image, known: Survey) -> dict[int, SiteOut]:
    """Functions in which nobody can tell where the return address is, by start."""
    found = dict(known.left_out)
    for start, out in known.left_out.items():
        if out.reason.startswith(_POPS_ITS_OWN) or _saves_jump(image, known, start):
            found |= _entered_from(image, start)
    return found | _outermost(image, known)


def _outermost(image: Image, known: Survey) -> dict[int, SiteOut]:
    """Functions the program's entry does not call but jumps to, and those they end in a jump to (musl's _start_c,
    __libc_start_main and its second stage): nobody is to be returned to in them either."""
    entry = image.function_at(image.entry)
    if entry is None:
        return {}
    ranges = [r for r in entry_rows(image, entry, entry.end) if r.where is Where.OUTERMOST]
    found: dict[int, SiteOut] = {}
    pending = [insn for r in ranges for insn in decode(image.arch, image.read(r.start, r.end - r.start), r.start)]
    while pending:
        insn = pending.pop()
        jumps = insn.kind in {Kind.JUMP, Kind.BRANCH}
        # Where a body leaves through a register, an address it forms may be where it goes.
        target = insn.target if jumps else refers_to(image.arch, insn) if insn.kind is Kind.OTHER else None
        home = image.function_at(target) if target is not None else None
        if home is None or home.start != target or home.start in found or home.start == entry.start:
            continue
        if not jumps and not _leaves_through_register(image, known, insn.address):
            continue
        found[home.start] = SiteOut(
            home.name, home.start, "the program's entry jumps here: there is nobody to return to"
        )
        pending.extend(decode_function(image, home).insns)
    return found


def _leaves_through_register(image: Image, known: Survey, address: int) -> bool:
    home = image.function_at(address)
    body = known.bodies.get(home.start) if home is not None else None
    return body is not None and any(leave.kind is ExitKind.TAIL_INDIRECT for leave in body.exits)


def _saves_jump(image: Image, known: Survey, start: int) -> bool:
    """Whether the function at *start* calls setjmp and goes on by a jump: longjmp comes back to its middle."""
    function = image.function_at(start)
    code = decode_function(image, function) if function is not None else None
    return code is not None and any(code.insns[i].target in _entries(known) for i in code.calls)


def _entries(known: Survey) -> set[int]:
    return {edge for shape in known.jumps.values() for edge in (shape.entry, shape.function.start)}


def _entered_from(image: Image, start: int) -> dict[int, SiteOut]:
    """Functions to which the one at *start*, which keeps its return address elsewhere, jumps (musl's sigsetjmp does so
    to __sigsetjmp_tail, and again when longjmp comes back to it)."""
    found = {}
    function = image.function_at(start)
    for insn in decode_function(image, function).insns if function is not None else ():
        home = image.function_at(insn.target) if insn.kind in {Kind.JUMP, Kind.BRANCH} and insn.target else None
        if home is not None and home.start != start:
            why = f"{image.locate(start)} jumps here, and does so again when a longjmp comes back to it"
            found[home.start] = SiteOut(home.name, home.start, why)
    return found
