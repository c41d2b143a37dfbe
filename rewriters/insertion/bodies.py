"""One function's new body, as items.

In line: original instructions in order, with the sequences between them.  Kept: every original instruction at the
same distance from the body's start as before, so that addresses the code computes for itself stay right; whatever is
longer than what it replaces is done behind the body.  A conditional jump out of the function goes over a jump behind
the body in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Sequence_
from functools import cache
from itertools import count

from lab.arch import Arch, arch_by_name
from lab.arch.decode import ENDS_FLOW, Insn, Kind
from lab.layout import Where
from rewriters import encode, moving
from rewriters.census import Body, Exit, ExitKind
from rewriters.insertion.items import (
    SHADOW,
    Answer,
    CarriedItem,
    Item,
    Mark,
    OwnItem,
    SequenceItem,
    Way,
    away,
    fixed,
    jump,
)
from rewriters.insertion.laid import Fill, Laid, Stays
from rewriters.insertion.placement import Late, late
from rewriters.insertion.prefixes import apart
from rewriters.insertion.references import Entry
from rewriters.insertion.tables_aarch64 import Compact
from rewriters.sequences import Binding, Sequence, emit

_PADDING = frozenset({"nop", "int3"})
_PADS = frozenset({"endbr64", "bti"})
_TRAPS = {"aarch64": (encode.A64_TRAP, "brk #1"), "x86_64": (encode.X86_TRAP, "int3")}
#: How far conditional branches reach (bytes): 14 bits of words for tbz and tbnz, 19 for the others.
_REACH = {"tbz": 0x7FFC, "tbnz": 0x7FFC}
_REACH_OTHERS = 0xF_FFFC
#: The most an exit or another place of ours adds (bytes).
_GROWTH = 64
_COPIED = Answer(Where.UNKNOWN, 0, "copied without a shadow stack")
_DIRECT = frozenset({Kind.JUMP, Kind.BRANCH})


@cache
def _length(arch: str, sequence: Sequence, scratch: tuple[str, ...]) -> int:
    return sum(len(piece.raw) for piece in emit(arch_by_name(arch), sequence, 0, Binding(scratch, 8)))


def build(body: Body, fill: Fill, tables: Sequence_[Compact] = (), *, entered: bool = False) -> Laid:
    """The new body; Stays if there can be none.  *tables*: those of its jump tables that are understood (AArch64);
    *entered*: whether other functions jump into its middle."""
    laid = _Builder(body, fill, tables, entered=entered).build()
    if all(_fits(laid, table) for table in tables):
        return laid
    return _Builder(body, fill, (), entered=entered).build()


def _fits(laid: Laid, table: Compact) -> bool:
    base = laid.offsets[table.base]
    return all(table.fits(laid.offsets[label] - base) for label in table.labels(laid.body.image))


def _entries(body: Body, table: Compact) -> Iterator[Entry]:
    for index, label in enumerate(table.labels(body.image)):
        at = table.address + index * table.width
        yield Entry(at, label, table.base, table.width, 4, table.signed)


class _Builder:
    def __init__(self, body: Body, fill: Fill, tables: Sequence_[Compact], *, entered: bool) -> None:
        self.body, self.fill, self.code = body, fill, apart(body.insns)
        self.arch: Arch = body.insns.arch
        self.start, self.end = body.function.start, body.function.end
        self.exits = {leave.address: leave for leave in body.exits}
        self.behind: list[Item] = []
        self.labels = count(-1, -1)
        self.tables = tables
        self.grown = 0 if self.arch.lr is None else self._most()
        self.kept = self.arch.lr is not None and self._computes()
        whole = entered or self.kept or not fill.push.lines
        self.late: Late | None = None if whole else late(body, fill.push, fill.pop)

    def _most(self) -> int:
        """More bytes than the new body can have."""
        extra = (0 if moving.plain(self.arch, i) else moving.size(self.arch, i) - i.size for i in self.code.insns)
        return self.end - self.start + _GROWTH * (len(self.exits) + 2) + sum(extra)

    def _computes(self) -> bool:
        """Whether the code computes addresses of its own, other than through tables that are understood."""
        if not {table.jump for table in self.tables} >= set(self.body.tables):
            return True
        bases = {table.base for table in self.tables}
        inner = (insn for insn in self.code.insns if insn.mnemonic == "adr" and self._inside(insn))
        return any(moving.refers_to(self.arch, insn) not in bases for insn in inner)

    def _inside(self, insn: Insn) -> bool:
        target = moving.refers_to(self.arch, insn)
        return target is not None and self.start < target < self.end

    def build(self) -> Laid:
        """All items, in order."""
        items, pad = self._front()
        entry = sum(item.size for item in items)
        items += self._push()
        insns = self._without_padding()
        for insn in insns:
            if not moving.plain(self.arch, insn) and (why := moving.problem(self.arch, insn)):
                raise Stays(insn.address, f"'{insn.text}' cannot be carried elsewhere: {why}")
            if insn.address < self.body.entry:  # in front already; here only to keep the distances
                items += [fixed((insn.raw, insn.text), insn.address, self._answer(insn))] if self.kept else []
                continue
            own = self._original(insn)
            items += self._squeezed(insn, own) if self.kept else own
        if insns[-1].kind is Kind.CALL:  # it does not return, but its return address must still be ours
            items.append(fixed(_TRAPS[self.arch.name], insns[-1].address, self._answer(insns[-1])))
        entries = () if self.kept else tuple(entry for table in self.tables for entry in _entries(self.body, table))
        laid = Laid(self.body, items + self.behind, self.kept, self.late is not None, pad, entry, entries)
        return laid.lay()

    def _without_padding(self) -> list[Insn]:
        """The instructions, but for padding at the end that nothing comes to."""
        insns = list(self.code.insns)
        targets = {insn.target for insn in insns}
        while len(insns) > 1 and insns[-1].mnemonic in _PADDING and insns[-1].address not in targets:
            insns.pop()
        return insns if insns[-1].kind in ENDS_FLOW or insns[-1].kind is Kind.CALL else list(self.code.insns)

    def _front(self) -> tuple[list[Item], bytes]:
        """The landing pad, and what precedes the entry, as it is; and the pad's bytes, for the old entry too."""
        first = self.code.insns[0]
        before = [insn for insn in self.code.insns if insn.address < self.body.entry]
        pad = first.raw if before and first.mnemonic in _PADS else b""
        gone = away(self.arch)
        if not before and self.fill.bti and first.mnemonic in {"paciasp", "pacibsp"} and not self.body.fragment:
            return [fixed((encode.BTI_C, "bti c"), first.address, gone)], encode.BTI_C
        return [CarriedItem(insn, insn.size, gone, insn.address) for insn in before], pad

    def _push(self) -> list[Item]:
        if self.body.fragment or self.late is not None or not self.fill.push.lines:
            return []
        return [self._sequence(self.fill.push, self.body.scratch, self.body.entry, away(self.arch), SHADOW)]

    def _sequence(
        self,
        what: Sequence,
        free: tuple[str, ...],
        old: int,
        before: Answer,
        after: Answer,
        *,
        label: int | None = None,
        leave: Exit | None = None,
    ) -> Item:
        scratch = free[: what.scratch]
        if len(scratch) < what.scratch:
            raise Stays(old, f"no {what.scratch} scratch registers are free here")
        register = leave.register if leave is not None and leave.kind is ExitKind.RETURN else None
        size = _length(self.arch.name, what, scratch)
        signed = leave is not None and leave.authenticates
        return SequenceItem(what, scratch, size, old, before, after, label, register, signed)

    def _answer(self, insn: Insn) -> Answer:
        if self.late is not None:
            return self.late.answers[insn.address]
        return SHADOW if self.fill.push.lines else _COPIED

    def _original(self, insn: Insn) -> list[Item]:
        """What stands for one original instruction; the first item has its label."""
        leave = self.exits.get(insn.address)
        if self.late is not None:
            return self._between(insn, self.late)
        if leave is None or not self.fill.pop.lines:
            return [self._carried(insn, self._answer(insn), insn.address)]
        if leave.kind is ExitKind.TAIL_CONDITIONAL:
            return [self._over(insn, self._popped_jump(leave))]
        return self._leave(insn, leave)

    def _between(self, insn: Insn, places: Late) -> list[Item]:
        """An instruction of a function whose sequences do not stand at its entry and exits."""
        items: list[Item] = []
        label: int | None = insn.address
        answer = places.answers[insn.address]
        if insn.address in places.pushes and self.fill.push.lines:
            free = places.pushes[insn.address]
            items.append(self._sequence(self.fill.push, free, insn.address, away(self.arch), SHADOW, label=label))
            label, answer = None, SHADOW
        items.append(self._carried(insn, answer, label))
        if insn.address in places.pops and self.fill.pop.lines:
            free = places.pops[insn.address]
            items.append(self._sequence(self.fill.pop, free, insn.end, SHADOW, away(self.arch)))
        return items

    def _carried(self, insn: Insn, answer: Answer, label: int | None) -> Item:
        target = insn.target
        if moving.plain(self.arch, insn) and insn.address not in self.fill.named:
            return CarriedItem(insn, insn.size, answer, label, Way.PLAIN)
        if insn.kind not in _DIRECT or target is None:
            if insn.mnemonic == "adr" and self._inside(insn):
                way, inner = (Way.SAME, None) if self.kept else (Way.SHORT, moving.refers_to(self.arch, insn))
                return CarriedItem(insn, insn.size, answer, label, way, inner)
            return CarriedItem(insn, moving.size(self.arch, insn), answer, label)
        inside = self.start <= target < self.end
        if inside and target not in self.code.index:
            raise Stays(insn.address, f"jumps into the middle of an instruction at {target:#x}")
        if self.arch.lr is None:
            return CarriedItem(insn, moving.size(self.arch, insn), answer, label)
        if insn.kind is Kind.JUMP or (inside and self._near(insn, abs(target - insn.address) + self._slack)):
            return CarriedItem(insn, insn.size, answer, label, Way.SHORT)
        if not self._near(insn, self.grown):
            return CarriedItem(insn, moving.size(self.arch, insn), answer, label)
        place = next(self.labels)
        self.behind.append(jump(self.arch, target, insn.address, answer, place))
        return CarriedItem(insn, insn.size, answer, label, Way.SHORT, place)

    @property
    def _slack(self) -> int:
        """By how much more than before two places of the body may lie apart."""
        return self.grown - (self.end - self.start)

    def _near(self, insn: Insn, distance: int) -> bool:
        return distance < _REACH.get(insn.mnemonic, _REACH_OTHERS)

    def _over(self, insn: Insn, behind: Callable[[int], list[Item]]) -> Item:
        """A conditional exit: to *behind* if taken."""
        place = next(self.labels)
        self.behind += behind(place)
        answer = self._answer(insn)
        if self.arch.lr is None or not self._near(insn, self.grown):
            return CarriedItem(insn, moving.size(self.arch, insn), answer, insn.address, Way.CARRY, place)
        return CarriedItem(insn, insn.size, answer, insn.address, Way.SHORT, place)

    def _popped_jump(self, leave: Exit) -> Callable[[int], list[Item]]:
        assert leave.target is not None, "a conditional branch names its target"
        target = leave.target

        def make(place: int) -> list[Item]:
            pop = self._pop(leave, place)
            return [pop, jump(self.arch, target, leave.address, away(self.arch))]

        return make

    def _pop(self, leave: Exit, label: int | None) -> Item:
        free = tuple(name for name in self.body.scratch if name not in leave.keeps)
        register = leave.register if leave.kind is ExitKind.RETURN else None
        after = away(self.arch, register)
        return self._sequence(self.fill.pop, free, leave.address, SHADOW, after, label=label, leave=leave)

    def _leave(self, insn: Insn, leave: Exit) -> list[Item]:
        """Pop and leave."""
        register = leave.register if leave.kind is ExitKind.RETURN else None
        gone = away(self.arch, register)
        if leave.authenticates:
            first = OwnItem(lambda _pc, _to: encode.authenticate(insn), 4, insn.address, SHADOW, insn.address)
            return [first, self._pop(leave, None), fixed(encode.A64_RET, insn.address, gone, authenticated=True)]
        return [self._pop(leave, insn.address), self._carried(insn, gone, None)]

    def _squeezed(self, insn: Insn, items: list[Item]) -> list[Item]:
        """*items* where one instruction stood: behind the body if they take more room."""
        if sum(item.size for item in items) == insn.size:
            return items
        place = next(self.labels)
        answer = self._answer(insn)
        first = jump(self.arch, place, insn.address, answer, insn.address)
        self.behind.append(Mark(place))
        self.behind += items
        if insn.kind not in ENDS_FLOW:
            self.behind.append(jump(self.arch, insn.end, insn.end, answer))
        return [first]
