"""Bodies to addresses, and everything that names them: jumps, pointers, tables, the old entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lab.arch.decode import Insn, Kind
from lab.errors import EngineError, RefusedError
from lab.images.image import Image
from lab.layout import Carried, InsertedRange, Region
from lab.layout import LayoutRow as Row
from lab.layout import Where
from rewriters import encode, moving
from rewriters.insertion.bodies import Laid
from rewriters.insertion.items import away
from rewriters.insertion.pointers import renamed
from rewriters.insertion.references import Form, Pointer, References
from rewriters.plan import Plan, Span

_ALIGNMENT = 16
_TRAPS = {"aarch64": encode.A64_TRAP, "x86_64": encode.X86_TRAP}
_DIRECT = frozenset({Kind.CALL, Kind.JUMP, Kind.BRANCH})
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
        self.spans: list[Span] = []
        self.pointers = {
            pointer.address: (pointer, start)
            for start in moves.follow
            for pointer in found.pointers.get(start, ())
            if pointer.form is not Form.WORD
        }
        self.bases: dict[int, int] = {}
        self._own: Laid | None = None

    def write(self) -> None:
        """Everything."""
        self._place()
        for start in sorted(self.moves.bodies):
            self._body(self.moves.bodies[start])
            self._old(self.moves.bodies[start])
        self._staying()
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
        self._own = laid
        self.spans = self.plan.spans.setdefault(function.start, [])
        for item in laid.items:
            before = self.plan.here
            item.write(self)
            if self.plan.here - before != item.size:
                raise EngineError(f"{function.name}: {self.plan.here - before} bytes at {before:#x}, not {item.size}")
        self._own = None
        self.plan.inserted.append(InsertedRange(begin, self.plan.here, Region.MOVED, function.name))
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

    def carried(self, insn: Insn, start: int, size: int) -> None:
        """See World."""
        carried = self.plan.carried
        if size == insn.size and moving.refers_to(self.arch, insn) is None and carried:
            last = carried[-1]
            same = last.old_size == last.new_size and (last.old + last.old_size, last.new + last.new_size)
            if same == (insn.address, start) and self._verbatim:
                carried[-1] = Carried(last.old, last.new, last.old_size + size, last.new_size + size)
                return
        self._verbatim = size == insn.size and moving.refers_to(self.arch, insn) is None
        carried.append(Carried(insn.address, start, insn.size, size))

    _verbatim = False

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
        if end < function.end:
            self.plan.rows.append(Row(end, function.end, Where.UNKNOWN, 0, _DEAD))
            self.plan.inserted.append(InsertedRange(end, function.end, Region.DEAD, function.name))

    def _new_entry(self, laid: Laid) -> int:
        return self.bases[laid.body.function.start]

    def _staying(self) -> None:
        """Direct jumps, and pointers, in code that stays."""
        for start, code in self.found.codes.items():
            if start in self.moves.bodies:
                continue
            for insn in code.insns:
                if insn.kind in _DIRECT and insn.target is not None:
                    self._redirect(insn)
                elif found := self.name(insn):
                    self._patch(insn.address, renamed(self.arch, insn, found[0], insn.address, found[1]).raw)

    def _redirect(self, insn: Insn) -> None:
        assert insn.target is not None
        goal = self.called(insn.target)
        if goal == insn.target:
            return
        try:
            moved = moving.retarget(self.arch, insn, insn.address, goal)
        except RefusedError:
            return  # too far for its form: by way of the old entry
        self._patch(insn.address, moved.raw)

    def _patch(self, address: int, data: bytes) -> None:
        self.plan.edit(address, data)

    def _data(self) -> None:
        """Words of data: pointers, tables, addresses of patchable NOPs."""
        for start in sorted(self.moves.follow):
            for pointer in self.found.pointers.get(start, ()):
                if pointer.form is Form.WORD:
                    self._patch(pointer.address, self.bases[start].to_bytes(8, "little"))
        for start in sorted(self.moves.bodies):
            laid = self.moves.bodies[start]
            for entry in self.found.tables.get(start, ()):
                to = self.bases[start] + laid.offsets[entry.label]
                if entry.base is None:
                    self._patch(entry.address, to.to_bytes(8, "little"))
                else:
                    self._patch(entry.address, (to - entry.base).to_bytes(4, "little", signed=True))
        for address, named in sorted(self.found.words.items()):
            if (goal := self._moved_place(named)) is not None:
                self._patch(address, goal.to_bytes(8, "little"))

    def _moved_place(self, named: int) -> int | None:
        home = self.image.function_at(named)
        laid = None if home is None else self.moves.bodies.get(home.start)
        if home is None or laid is None:
            return None
        return self.bases[home.start] + laid.offsets[named]


def overlapping(ranges: Iterable[tuple[int, int]]) -> bool:
    """Whether any two of *ranges* share a byte."""
    ordered = sorted(ranges)
    return any(left[1] > right[0] for left, right in zip(ordered, ordered[1:], strict=False))
