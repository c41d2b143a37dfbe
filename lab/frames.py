"""One walk taken apart, for explain: for each step what was looked up, every slot it read, and what it made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lab.arch import Arch
from lab.images.image import Image
from lab.metadata.rules import CfaBase, Deref, Flag, Format, FpPlace, Kind, RaPlace, Reason, Rule
from lab.probe import LOGGED, Probe
from lab.unwind.api import BOUNDARY, END, FRAME, GOES_ON, MASK64, WHERE_CODES, Unwinder
from lab.unwind.api import Reason as Refusal
from lab.unwind.host import STEP_BUDGET, forms
from lab.unwind.kunwind import PT_REGS
from lab.unwind.reader import Fault

_WHERE = {code: place.value for place, code in WHERE_CODES.items()}
_KINDS = {kind: kind.name.lower().replace("_", " ") for kind in Kind}


@dataclass(frozen=True)
class Slot:
    """One word that was read: its address, its value, and what lies there."""

    address: int
    value: int
    what: str


@dataclass(frozen=True)
class Frame:
    """One step.  ``said``: the return address as function+offset, "end", or the refusal; ``used``: the rows that were
    looked up, in words; ``true``: the frame that is really there, where this is the first one that differs."""

    said: str
    used: list[str] = field(default_factory=list)
    reads: list[Slot] = field(default_factory=list)
    true: str = ""


class _Noted:
    """What a step is given, with every row of a rule table that it asks a word of, every missing one, and every
    look-up in the layout noted in words."""

    def __init__(self, view: Any, at: Probe) -> None:
        self._view, self._at, self.used = view, at, list[str]()
        self._found: dict[tuple[int, int], str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    def rule(self, table: int, pc: int) -> int:
        number: int = self._view.rule(table, pc)
        found = self._at.reader.code.tables.get(table)
        place = f"{Format(table).name} at {self._at.image.locate(pc)}"
        if found and number:
            text = rule_text(self._at.machine.arch, found.rows[number - 1].rule)
            self._found[table, number] = f"{place}: {text}"
        else:
            self._note(f"{place}: no row")
        return number

    def rule_word(self, table: int, row: int, word: int) -> int:
        if (table, row) in self._found:
            self._note(self._found[table, row])
        return self._view.rule_word(table, row, word)  # type: ignore[no-any-return]

    def row(self, pc: int) -> tuple[int, int]:
        code, offset = found = self._view.row(pc)
        place = f"[SP + {offset}]" if _WHERE[code] == "stack" else _WHERE[code]
        self._note(f"layout at {self._at.image.locate(pc)}: return address in {place}")
        return found  # type: ignore[no-any-return]

    def _note(self, text: str) -> None:
        if text not in self.used:
            self.used.append(text)


def frames(at: Probe, unwinder: Unwinder, truth: tuple[int, ...]) -> list[Frame]:
    """The walk of *unwinder* at the stop found, step by step, to its end, its refusal, or its first bad read."""
    assert at.found is not None
    made: list[Frame] = []
    places, count = _places(at), 0
    begin, step = forms(unwinder)
    mem = _Noted(at.reader.view, at)
    try:
        cursor = begin(at.found.mode, at.found.regs.pc, at.found.regs)
        for _ in range(STEP_BUDGET):
            at.reader.fault, at.reader.log, mem.used = Fault.NONE, [], []
            status, ra, cursor = step(mem, cursor)
            cursor = tuple(word & MASK64 for word in cursor)
            said = _said(at, status, ra)
            true = _true(at.image, truth, count, status, ra)
            made.append(Frame(said, mem.used, _slots(at, places), true if not any(f.true for f in made) else ""))
            if status != FRAME or at.reader.fault is not Fault.NONE:
                break
            count += 1
    except Exception:
        return made  # the crash is said by the judgement
    finally:
        at.reader.log, at.reader.fault = None, Fault.NONE
    return made


def _said(at: Probe, status: int, ra: int) -> str:
    if at.reader.fault is not Fault.NONE:
        return f"could not read [{at.reader.fault_address:#x}]: {at.reader.fault.value}"
    if status == FRAME:
        return at.image.locate(ra & MASK64)
    if status == END:
        return "end"
    code = int(status) & ~GOES_ON
    return f"refused: {Refusal(code).name.lower()}" if code in list(Refusal) else f"unknown status {code}"


def _true(image: Image, truth: tuple[int, ...], count: int, status: int, ra: int) -> str:
    """What is really at frame *count*, where the step said something else; "" where it said so, or refused."""
    there = image.locate(truth[count]) if count < len(truth) else "the end"
    if status == FRAME:
        return "" if count < len(truth) and truth[count] == ra & MASK64 else there
    return there if status == END and count < len(truth) else ""


def _slots(at: Probe, places: dict[int, str]) -> list[Slot]:
    log = at.reader.log or []
    return [Slot(address, value, _what(at, places, address, value)) for address, value in log[:LOGGED]]


def _places(at: Probe) -> dict[int, str]:
    """What lies at addresses that have a name: frame records from FP on, with the pt_regs that they lead to, over all
    stacks; the FINAL record, the shadow stack's cell."""
    assert at.found is not None
    reader, fp, named = at.reader, at.found.regs.fp, dict[int, str]()
    low, frame = at.found.regs.sp, at.machine.arch.pt_regs
    for number in range(1, LOGGED):
        regs = _regs_at(at, fp, low)
        if regs:
            named |= {regs + offset: f"pt_regs, record {number}: {name}" for name, offset in frame.registers.items()}
            named |= {fp + n: f"metadata record {number}" for n in (0, 8, 16) if frame.metadata is not None}
            low, fp = regs + frame.size, reader.load(regs + frame.registers[at.machine.arch.fp])
            continue
        if fp & 7 or not _on_a_stack(at, fp, low):
            break
        own = "FINAL record" if fp == reader.final_record else f"frame record {number}"
        named |= {fp: f"{own}: caller's FP", fp + 8: f"{own}: return address"}
        if fp == reader.final_record:
            named[fp + 16] = f"{own}: type"
            break
        low, fp = fp + 16, reader.load(fp)
    if reader.shadow_cell:
        named[reader.shadow_cell] = "the shadow stack's pointer"
    return named


def _on_a_stack(at: Probe, fp: int, low: int) -> bool:
    """Whether two words at *fp* lie on a stack, above *low* where they are on the same one."""
    here = at.reader.code.stack_of(fp)
    return fp <= here[1] - 16 and (fp >= low or here != at.reader.code.stack_of(low - 8))


def _regs_at(at: Probe, fp: int, low: int) -> int:
    """The pt_regs that FP stands for: by a metadata record PT_REGS, or by its bit 0 (x86-64); 0 for none."""
    frame, load = at.machine.arch.pt_regs, at.reader.load
    if frame.metadata is None:
        return fp - 1 if fp & 7 == 1 and _on_a_stack(at, fp - 1, low) else 0
    if fp & 7 or not _on_a_stack(at, fp, low) or load(fp) or load(fp + 8) or load(fp + 16) != PT_REGS:
        return 0
    return fp - frame.metadata


def _what(at: Probe, places: dict[int, str], address: int, value: int) -> str:
    """What lies at *address*, in words."""
    assert at.found is not None
    reader, regs = at.reader, at.found.regs
    if address in places:
        return places[address]
    if reader.shadow_base <= address < reader.shadow_limit:
        return f"shadow stack, entry {(address - reader.shadow_base) // 8 + 1}{_points(at, value)}"
    if reader.hw_base <= address < reader.hw_limit:
        return f"hardware shadow stack{_points(at, value)}"
    if reader.stack_low <= address < reader.stack_high:
        frame = at.machine.arch.pt_regs
        below = (regs.sp & -at.machine.arch.exception_align) - address
        if 0 < below <= frame.size and at.found.mode == BOUNDARY:
            name = next((n for n, offset in frame.registers.items() if offset == frame.size - below), "a word")
            return f"this exception's pt_regs: {name}"
        distance = address - regs.sp
        return f"stack, SP {'+' if distance >= 0 else '-'} {abs(distance):#x}{_points(at, value)}"
    other = "another stack" if any(at.reader.code.stack_of(address)) else "memory"
    return f"{other}{_points(at, value)}"


def _points(at: Probe, value: int) -> str:
    stripped = at.machine.arch.strip(value)
    return f": {at.image.locate(stripped)}" if at.image.function_at(stripped - 1) else ""


def place_of(at: Probe, address: int, read: set[int]) -> str:
    """Where the live return address *address* is at the stop: LR, or a stack slot, and whether that was *read*."""
    assert at.found is not None
    arch, regs, reader = at.machine.arch, at.found.regs, at.reader
    if arch.lr is not None and arch.strip(regs.lr) == address:
        return "it is in LR"
    for slot in range((regs.sp + 7) & ~7, reader.stack_high - 7, 8):
        if arch.strip(reader.load(slot)) == address:
            return f"it is at [{slot:#x}], SP + {slot - regs.sp:#x}, which was {'' if slot in read else 'not '}read"
    others = [stack for stack in reader.code.stacks if stack != reader.code.stack_of(regs.sp - 8)]
    held = [slot for low, high in others for slot in range(low, high, 8) if arch.strip(reader.load(slot)) == address]
    if held:
        slot = next((slot for slot in held if slot in read), held[0])
        named = _places(at).get(slot, "a word")
        return f"[{slot:#x}] on another stack holds it ({named}), which was {'' if slot in read else 'not '}read"
    return "it is neither in LR nor on a stack"


def rule_text(arch: Arch, rule: Rule) -> str:
    """A row in words, such as ``CFA = FP + 16, ra = [CFA - 8], FP = [CFA - 16]``."""
    if rule.kind is not Kind.NORMAL:
        why = f" ({Reason(rule.reason).name.lower()})" if rule.reason else ""
        return f"{_KINDS[Kind(rule.kind)]}{why}"
    base = {CfaBase.SP: "SP", CfaBase.FP: "FP", CfaBase.OTHER: "another register"}[CfaBase(rule.cfa_base)]
    cfa = {
        Deref.NONE: f"{base}{_plus(rule.cfa_offset)}",
        Deref.BEFORE: f"[{base}]{_plus(rule.cfa_offset)}",
        Deref.AFTER: f"[{base}{_plus(rule.cfa_offset)}]",
    }[Deref(rule.cfa_deref)]
    ra = {
        RaPlace.LR: arch.lr or "LR",
        RaPlace.CFA: f"[CFA{_plus(rule.ra_offset)}]",
        RaPlace.UNDEFINED: "nobody",
    }[RaPlace(rule.ra_place)]
    fp = {
        FpPlace.SAME: "same",
        FpPlace.CFA: f"[CFA{_plus(rule.fp_offset)}]",
        FpPlace.FP: f"[FP{_plus(rule.fp_offset)}]",
        FpPlace.UNDEFINED: "lost",
    }[FpPlace(rule.fp_place)]
    signed = ", signed" if rule.flags & Flag.RA_SIGNED else ""
    return f"CFA = {cfa}, ra = {ra}{signed}, FP = {fp}"


def _plus(offset: int) -> str:
    return f" {'-' if offset < 0 else '+'} {abs(offset)}" if offset else ""
