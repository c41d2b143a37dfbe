"""Reasons not to rewrite an image at all, found before anything is planned."""

from __future__ import annotations

import bisect
import re

import numpy as np
from numpy.typing import NDArray

from lab.arch.decode import Kind, decode_one
from lab.errors import RefusedError, UnsupportedError
from lab.images.flow import Code, decode_function
from lab.images.image import Function, Image
from lab.images.rawelf import PF_X
from lab.layout import Flavour, Policy
from rewriters.flavours import FlavourSpec
from rewriters.modes import NOP_FILL, unsupported_reason
from rewriters.sites import Ranges, word_columns

#: First bytes of the segment a rewrite adds: what "already rewritten" is recognised by.
MARKER = b"unwindlab: rewritten image\0\0\0\0\0\0"
#: Symbol under which an image offers, and its longjmp uses, the cell of Flavour.MEMORY.
CELL_SYMBOL = "__unwindlab_ssp"

_SETJMP = re.compile(r"(?:^|_)(?:sig)?setjmp$")
_LONGJMP = re.compile(r"(?:^|_)(?:sig)?longjmp$")
_THREAD_STARTERS = ("pthread_create", "thrd_create")
_X18 = re.compile(r"\b[xw]18\b")
_SCS_PUSH, _SCS_POP = 0xF800865E, 0xF85F8E5E


def refuse_image(image: Image, mode: str, spec: FlavourSpec, policy: Policy) -> None:
    """Raise UnsupportedError or RefusedError, naming the file and the cause, if *image* must not be rewritten."""
    if reason := unsupported_reason(image.arch, mode, spec.name, policy):
        raise UnsupportedError(f"{image.path}: {reason}")
    if not image.functions:
        raise RefusedError(image.fdes_problem or f"{image.path}: no functions: neither FUNC symbols nor .eh_frame")
    _refuse_rewritten(image)
    around = next((f for f in image.functions if f.start < image.entry < f.end), None)
    if around is not None:
        raise RefusedError(
            f"{image.path}: the entry point {image.entry:#x} lies inside {around.name}: who calls that and who starts "
            "there cannot be told apart; link it with an entry of its own"
        )
    if spec.reach is Flavour.PARALLEL:
        return
    if mode not in NOP_FILL:
        _refuse_analysed(image, spec.reach)
        return
    if image.stripped:
        raise RefusedError(
            f"{image.path}: no symbols (stripped?) that tell its longjmp and throw, which leave functions without a "
            "pop; only the parallel flavour stands that"
        )
    family = _jump_family(image)
    if spec.reach is Flavour.REGISTER:
        _refuse_register(image, family)
    _refuse_unwinding(image)
    _refuse_longjmp(image, spec.reach, family)


def _refuse_analysed(image: Image, flavour: Flavour) -> None:
    """What stands in the way of a pointer where the code itself is analysed (setjmp is found by what it does)."""
    if flavour is Flavour.REGISTER:
        _refuse_register(image, _jump_family(image))
    starter = next((name for name in _THREAD_STARTERS if name in image.symbols), None)
    if starter is not None:
        raise RefusedError(
            f"{image.path}: starts threads ({starter}), and they would share one shadow stack; only the parallel "
            "flavour stands that"
        )


def _refuse_rewritten(image: Image) -> None:
    if any(g.flags & PF_X and g.data.startswith(MARKER) for g in image.segments):
        raise RefusedError(f"{image.path}: already rewritten; start from the image as it was linked")
    if image.arch.lr is None:
        return
    for start, column in word_columns(image):
        for index in np.flatnonzero((column == _SCS_PUSH) | (column == _SCS_POP))[:1].tolist():
            raise RefusedError(
                f"{image.path}: already has a shadow stack in x18 ({image.locate(start + 4 * index)}): rewritten "
                "before, or built with -fsanitize=shadow-call-stack"
            )


def _jump_family(image: Image) -> list[Code]:
    """The code of every setjmp and longjmp, also of those without a size (assembly): up to the next symbol."""
    starts = sorted(set(image.symbols.values()))
    family = []
    for name, start in sorted(image.symbols.items()):
        home = next((s for s in image.sections if s.executable and s.address <= start < s.address + s.size), None)
        if home is None or not (_SETJMP.search(name) or _LONGJMP.search(name)):
            continue
        known = image.function_at(start)
        following = starts[bisect.bisect_right(starts, start) :]
        end = known.end if known else min([*following[:1], home.address + home.size])
        family.append(decode_function(image, Function(start, end - start, (name,))))
    return family


def _naming(column: NDArray[np.uint32], number: int) -> list[int]:
    """Indices of A64 words one of whose register fields (Rd, Rn, Ra/Rt2, Rm) could be *number*: a first sieve."""
    hits = (column & 31) == number
    for shift in (5, 10, 16):
        hits |= (column >> np.uint32(shift) & 31) == number
    found: list[int] = np.flatnonzero(hits).tolist()
    return found


def _refuse_register(image: Image, family: list[Code]) -> None:
    # The lab's kernel gives every task a pointer of its own: its assembly has to name it.
    kernel = (image.symbols.get("lab_kernel_entry", 0), image.symbols.get("lab_kernel_text_end", 0))
    exempt = Ranges([*((code.function.start, code.function.end) for code in family), kernel])
    named = (
        (start + 4 * index, column[index].tobytes())
        for start, column in word_columns(image)
        for index in _naming(column, 18)
    )
    for address, raw in named:
        if address in exempt:
            continue
        insn = decode_one(image.arch, raw, address)
        if _X18.search(insn.op_str) or "x18" in insn.reads | insn.writes:
            raise RefusedError(
                f"{image.path}: x18 is in use, first at {image.locate(address)} ('{insn.text}'); "
                "build everything with -ffixed-x18"
            )


def _refuse_unwinding(image: Image) -> None:
    if "_Unwind_RaiseException" in image.symbols:
        raise RefusedError(
            f"{image.path}: throws exceptions (_Unwind_RaiseException), which leave functions without a pop; "
            "only the parallel flavour stands that"
        )


def _refuse_longjmp(image: Image, flavour: Flavour, family: list[Code]) -> None:
    if not any(_LONGJMP.search(code.function.name) for code in family):
        return
    cell = image.symbols.get(CELL_SYMBOL)
    if flavour is Flavour.MEMORY and cell is None:
        raise RefusedError(
            f"{image.path}: has longjmp but no {CELL_SYMBOL}: a jump would unbalance the shadow stack; let its "
            f"setjmp save and its longjmp restore a pointer named {CELL_SYMBOL}"
        )
    for code in family:
        if all(insn.kind is Kind.JUMP for insn in code.insns):
            continue  # a plain alias stub: the function it jumps to is checked
        if flavour is Flavour.REGISTER:
            fine, what = any("x18" in i.reads | i.writes for i in code.insns), "x18"
        else:
            assert cell is not None
            fine, what = references(code, cell), CELL_SYMBOL
        if not fine:
            raise RefusedError(
                f"{image.path}: {code.function.name} does not save or restore {what}: a jump would unbalance "
                "the shadow stack"
            )


_ADRP = re.compile(r"adrp (x\d+), #(0x[0-9a-f]+|\d+)$")
_ADR = re.compile(r"adr x\d+, #(0x[0-9a-f]+|\d+)$")
_LOW = re.compile(r"(?:add x\d+, (x\d+), #|(?:ldr|str) x\d+, \[(x\d+)(?:, #|\]))(0x[0-9a-f]+|\d+)?")
_RIP = re.compile(r"\[rip(?: ([+-]) (0x[0-9a-f]+|\d+))?\]")
_ABSOLUTE = re.compile(r"\[(0x[0-9a-f]+)\]")


def references(code: Code, address: int) -> bool:
    """Whether some instruction of *code* forms or uses *address* (adrp + offset, adr, RIP-relative or absolute)."""
    pages: dict[str, int] = {}
    for insn in code.insns:
        if match := _ADRP.match(insn.text):
            pages[match[1]] = int(match[2], 0)
        elif match := _ADR.match(insn.text):
            if int(match[1], 0) == address:
                return True
        elif match := _LOW.match(insn.text):
            page = pages.get(match[1] or match[2])
            if page is not None and page + int(match[3] or "0", 0) == address:
                return True
        elif code.arch.lr is None and _x86_operand(insn.text, insn.end) == address:
            return True
    return False


def _x86_operand(text: str, end: int) -> int | None:
    if match := _RIP.search(text):
        displacement = int(match[2] or "0", 0)
        return end + (-displacement if match[1] == "-" else displacement)
    if match := _ABSOLUTE.search(text):
        return int(match[1], 0)
    return None
