"""Bodies to addresses, and everything that names them: jumps, pointers, tables, the old entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.arch.decode import Insn, Kind
from lab.errors import EngineError, RefusedError
from lab.images.image import Image
from lab.layout import Carried, InsertedRange, Region, Where
from lab.layout import LayoutRow as Row
from rewriters import encode, moving
from rewriters.elf_tables import Moved
from rewriters.insertion.items import CarriedItem, Way, away
from rewriters.insertion.laid import Laid
from rewriters.insertion.pointers import renamed
from rewriters.insertion.prefixes import is_prefix
from rewriters.insertion.references import Form, Pointer, References
from rewriters.plan import Plan
from rewriters.unwind import Span

_ALIGNMENT = 16
_TRAPS = {"aarch64": encode.A64_TRAP, "x86_64": encode.X86_TRAP}
_DIRECT = frozenset({Kind.CALL, Kind.JUMP, Kind.BRANCH})
#: Old address, new address and bytes of the unchanged instructions put last.
_NO_RUN = (-1, -1, 0)
_NOWHERE = -2
_DEAD = "what a moved function left behind: nothing comes here"


@dataclass(frozen=True)
class Moves:
    """What moves: bodies by function start, and the functions whose pointers follow."""

    bodies: Mapping[int, Laid]
    follow: frozenset[int]


class Writer:
    """Writes all bodies of one image into a plan; the World of their items."""

    def __init__(self, image: Image, plan: Plan, moves: Moves, found: References, cell: int | None) -> None:
        self.image, self.plan, self.arch, self.cell = image, plan, image.arch, cell
        self.moves, self.found = moves, found
        self.pointers = {
            pointer.address: (pointer, start)
            for start in moves.follow
            for pointer in found.pointers.get(start, ())
            if pointer.form is not Form.WORD
        }
        self.bases: dict[int, int] = {}
        self._own: Laid | None = None
        self._run = _NO_RUN
        self._locked = _NOWHERE

    def write(self, untouched: frozenset[int]) -> None:
        """Everything.  *untouched*: functions (by start) that somebody else changes."""
        self._place()
        for start in sorted(self.moves.bodies):
            self._body(self.moves.bodies[start])
            self._old(self.moves.bodies[start])
        self._staying(untouched)
        self._data()

    def _place(self) -> None:
        at = self.plan.here
        for start in sorted(self.moves.bodies):
            at += -at % _ALIGNMENT
            self.bases[start] = at
            at += self.moves.bodies[start].size

    def _body(self, laid: Laid) -> None:
        function = laid.body.function
        text = self.plan.text
        text.align(_ALIGNMENT, _TRAPS[self.arch.name])
        begin = self.plan.here
        if begin != self.bases[function.start]:
            raise EngineError(f"{function.name} lands at {begin:#x}, planned at {self.bases[function.start]:#x}")
        self._own, self._run = laid, _NO_RUN
        for item in laid.items:
            before = self.plan.here
            if not isinstance(item, CarriedItem):
                self._run = _NO_RUN
            item.write(self)
            if self.plan.here - before != item.size:
                raise EngineError(f"{function.name}: {self.plan.here - before} bytes at {before:#x}, not {item.size}")
        self._own = None
        self.plan.inserted.append(InsertedRange(begin, self.plan.here, Region.MOVED, function.name))
        self.plan.moved.append(Moved(function.start, function.end, begin, self.plan.here))
        self.plan.inline += 1

    def code(self, label: int) -> int:
        """See World."""
        own = self._own
        if own is not None:
            function = own.body.function
            if function.start <= label <= own.body.entry and not own.body.fragment:
                label = own.body.entry
            if label < 0 or function.start <= label < function.end:
                return self.bases[function.start] + own.offsets[label]
        return self.called(label)

    def called(self, address: int) -> int:
        """See World."""
        home = self.image.function_at(address)
        laid = None if home is None else self.moves.bodies.get(home.start)
        if home is None or laid is None:
            return address
        base = self.bases[home.start]
        if address == home.start:
            return base
        if home.start < address <= laid.body.entry:
            return base + laid.entry
        if address not in laid.offsets:
            raise EngineError(f"{self.image.path}: nothing in the moved {home.name} stands for {address:#x}")
        return base + laid.offsets[address]

    def name(self, insn: Insn) -> tuple[Pointer, int] | None:
        """See World."""
        found = self.pointers.get(insn.address)
        return None if found is None else (found[0], self.bases[found[1]])

    def carried(self, item: CarriedItem, start: int, size: int) -> None:
        """See World.  What follows its predecessor, both unchanged, is one piece with it."""
        insn, unchanged = item.insn, item.way is Way.PLAIN
        if is_prefix(insn):
            self._locked = start
            return
        if self._locked + 1 == start:  # one instruction with its prefix, and a piece of its own
            self._locked = _NOWHERE
            self.plan.carried.append(Carried(insn.address - 1, start - 1, insn.size + 1, size + 1))
            self.plan.spans.append(Span(start - 1, start + size, insn.address - 1, old_size=insn.size + 1))
            self._run = _NO_RUN
            return
        old, new, length = self._run
        if unchanged and (insn.address, start) == (old + length, new + length):
            self._run = (old, new, length + size)
            self.plan.carried[-1] = Carried(old, new, length + size, length + size)
            self.plan.spans[-1] = Span(new, start + size, old, old_size=length + size)
            return
        self.plan.carried.append(Carried(insn.address, start, insn.size, size))
        self.plan.spans.append(Span(start, start + size, insn.address, old_size=insn.size))
        self._run = (insn.address, start, size) if unchanged else _NO_RUN

    def _old(self, laid: Laid) -> None:
        """The old body: its landing pad, a jump to the new one, traps."""
        function, body = laid.body.function, laid.body
        pad = laid.pad if len(laid.pad) + 5 <= function.size else b""
        at = function.start + len(pad)
        code, text = encode.jump(self.arch, at, self._new_entry(laid))
        encode.read_back(self.arch, code, at, text)
        trap = _TRAPS[self.arch.name]
        rest = function.size - len(pad) - len(code)
        self.plan.edit(function.start, pad + code + trap * (rest // len(trap)))
        end = at + len(code)
        answer = away(self.arch)
        if body.fragment:
            self.plan.rows.append(Row(function.start, end, Where.UNKNOWN, 0, _DEAD))
        else:
            self.plan.rows.append(answer.row(function.start, end))
        self.plan.inserted.append(InsertedRange(function.start, end, Region.INSERTED, function.name))
        self.plan.dead.append((function.start, function.end))
        if not body.fragment:
            self.plan.spans.append(Span(function.start, end, function.start))
        if end < function.end:
            self.plan.rows.append(Row(end, function.end, Where.UNKNOWN, 0, _DEAD))
            self.plan.inserted.append(InsertedRange(end, function.end, Region.DEAD, function.name))

    def _new_entry(self, laid: Laid) -> int:
        return self.bases[laid.body.function.start]

    def _staying(self, untouched: frozenset[int]) -> None:
        """Direct jumps, and pointers, in code that stays."""
        seen: set[int] = set()
        for start, code in self.found.codes.items():
            if start in self.moves.bodies or start in untouched:
                continue
            for insn in code.insns:
                if insn.address in seen:
                    continue  # functions may overlap
                seen.add(insn.address)
                if insn.kind in _DIRECT and insn.target is not None:
                    self._redirect(insn)
                elif insn.address in self.pointers:
                    self._repoint(insn)

    def _repoint(self, insn: Insn) -> None:
        pointer, start = self.pointers[insn.address]
        new = self.bases[start]
        moved = renamed(self.arch, insn, pointer, insn.address, new)
        self.plan.patch(insn.address, moved.read_back(self.arch, insn.address), start, new)

    def _redirect(self, insn: Insn) -> None:
        assert insn.target is not None
        goal = self.called(insn.target)
        if goal == insn.target:
            return
        try:
            moved = moving.retarget(self.arch, insn, insn.address, goal)
        except RefusedError:
            return  # too far for its form: by way of the old entry
        self.plan.patch(insn.address, moved.read_back(self.arch, insn.address), insn.target, goal)

    def _data(self) -> None:
        """Words of data: pointers, tables, addresses of patchable NOPs."""
        for start in sorted(self.moves.follow):
            for pointer in self.found.pointers.get(start, ()):
                if pointer.form is Form.WORD:
                    new = self.bases[start]
                    self.plan.patch(pointer.address, new.to_bytes(8, "little"), start, new)
        for start in sorted(self.moves.bodies):
            laid = self.moves.bodies[start]
            for entry in (*self.found.tables.get(start, ()), *laid.tables):
                to = self.bases[start] + laid.offsets[entry.label]
                if entry.base is None:
                    data = to.to_bytes(entry.width, "little")
                else:
                    distance = to - (self._moved_place(entry.base) or entry.base)
                    data = (distance // entry.scale).to_bytes(entry.width, "little", signed=entry.signed)
                self.plan.patch(entry.address, data, entry.label, to)
        for address, named in sorted(self.found.words.items()):
            if (goal := self._moved_place(named)) is not None:
                self.plan.patch(address, goal.to_bytes(8, "little"), named, goal)

    def _moved_place(self, named: int) -> int | None:
        home = self.image.function_at(named)
        laid = None if home is None else self.moves.bodies.get(home.start)
        if home is None or laid is None:
            return None
        return self.bases[home.start] + laid.offsets[named]
