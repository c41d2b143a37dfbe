"""The trampolines of one function: what runs instead of the bytes a jump overwrites, and then goes back.

    entry:  push | displaced instructions | jump back
    exit:   displaced instructions before it | pop | the exit itself
    branch back to the entry:  the same branch, past the push

All code keeps the meaning it had: pc-relative instructions are carried (rewriters.moving), and the span of each
original instruction is noted for the unwind information.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.arch import Arch
from lab.arch.decode import ENDS_FLOW, Insn
from lab.images.image import Function, Image
from lab.layout import Carried, InsertedRange, LayoutRow, Region, Where
from rewriters import encode
from rewriters.census import Body, Exit, ExitKind
from rewriters.detour.windows import Window
from rewriters.elf_tables import NewSymbol
from rewriters.moving import carry, size
from rewriters.plan import OUT_OF_LINE, Plan
from rewriters.sequences import Binding, Emitted, Sequence, assemble
from rewriters.unwind import Span

#: What stands where displaced code was and nothing comes to any more.
_TRAPS = {"aarch64": encode.A64_TRAP, "x86_64": encode.X86_TRAP}


class Places:
    """Where the return address is, as layout rows, before and behind a sequence."""

    def __init__(self, arch: Arch, plan: Plan) -> None:
        self.arch, self.plan = arch, plan

    def away(self, start: int, end: int, *, pushed: int = 0, register: str | None = None) -> None:
        """Not on the shadow stack: in the link register, or on top of the stack below *pushed* bytes."""
        if self.arch.lr is None:
            row = LayoutRow(start, end, Where.STACK, pushed)
        elif register in {None, self.arch.lr}:
            row = LayoutRow(start, end, Where.LR)
        else:
            row = LayoutRow(start, end, Where.UNKNOWN, 0, f"the return address is in {register}")
        self.plan.rows.append(row)

    def unknown(self, start: int, end: int) -> None:
        """Nobody can tell."""
        self.plan.rows.append(LayoutRow(start, end, Where.UNKNOWN, 0, "around a system call that clones"))

    def shadow(self, start: int, end: int) -> None:
        """On top of the shadow stack."""
        self.plan.rows.append(LayoutRow(start, end, Where.SHADOW))


@dataclass(frozen=True)
class Fill:
    """What goes in: the two sequences, and the pointer's cell."""

    push: Sequence
    pop: Sequence
    cell: int | None


#: An instruction to emit: the same everywhere, or made for its address.
Line = encode.Encoded | Callable[[int], encode.Encoded]


class Writer:
    """Trampolines of one function, piece by piece, into a plan."""

    def __init__(self, image: Image, plan: Plan, function: Function) -> None:
        self.arch, self.plan, self.name = image.arch, plan, function.name
        self.places = Places(image.arch, plan)
        self._last = (0, 0)
        self._first = plan.here

    def close(self) -> None:
        """Name what was written.  The last thing to do."""
        if self.plan.here > self._first:
            size = self.plan.here - self._first
            self.plan.symbols.append(NewSymbol(self.name + OUT_OF_LINE, self._first, size))

    def hook(self, window: Window, before: tuple[Line, ...], after: tuple[Line, ...], *, known: bool) -> None:
        """Other code of ours *before* the first instruction of *window* and *after* it: what becomes of the pointer in
        setjmp, longjmp and clone.  *known*: the return address is still where the call put it."""
        row = self.places.away if known else self.places.unknown
        start = self._begin(window)
        self._lines(before, window.start, row)
        self._displaced(window.insns[:1], row)
        self._lines(after, window.insns[0].end, row)
        self._displaced(window.insns[1:], row)
        self._jump(window.end, window.end)
        row(*self._last)
        self._end(start)

    def _lines(self, lines: tuple[Line, ...], old: int, row: Callable[[int, int], None]) -> None:
        for line in lines:
            raw, text = line if isinstance(line, tuple) else line(self.plan.here)
            self._put(raw, text, old)
            row(*self._last)

    def _begin(self, window: Window) -> int:
        """Jump from the window to here; the rest of it traps."""
        here = self.plan.here
        at = window.start + len(window.pad)
        code, text = encode.jump(self.arch, at, here)
        encode.read_back(self.arch, code, at, text)
        trap = _TRAPS[self.arch.name]
        rest = window.end - at - len(code)
        self.plan.edit(window.start, window.pad + code + trap * (rest // len(trap)))
        self.plan.inserted.append(InsertedRange(window.start, window.end, Region.INSERTED, self.name))
        self.plan.out_of_line += 1
        return here

    def _end(self, start: int) -> None:
        self.plan.inserted.append(InsertedRange(start, self.plan.here, Region.TRAMPOLINE, self.name))

    def _put(self, raw: bytes, text: str, old: int, *, pushed: int = 0, authenticated: bool = False) -> None:
        at = self.plan.text.put(raw, text)
        self._last = (at, at + len(raw))
        self.plan.spans.append(Span(at, at + len(raw), old, pushed, 0, authenticated))

    def _displaced(self, insns: tuple[Insn, ...], row: Callable[[int, int], None]) -> None:
        for insn in insns:
            self._carried(insn, self.resolve)
            row(*self._last)

    def _carried(self, insn: Insn, resolve: Callable[[int], int]) -> None:
        moved = carry(self.arch, insn, self.plan.here, resolve)
        start = self.plan.here
        for raw, text in moved.parts:
            self.plan.text.put(raw, text)
        self._last = (start, self.plan.here)
        self.plan.spans.append(Span(start, self.plan.here, insn.address, old_size=insn.size))
        self.plan.carried.append(Carried(insn.address, start, insn.size, self.plan.here - start))

    def _jump(self, target: int, old: int) -> None:
        self._put(*encode.jump(self.arch, self.plan.here, target), old)

    def resolve(self, target: int) -> int:
        """Where what stood at *target* is to be reached now."""
        return target


class Trampolines(Writer):
    """Entry, exits and branches back of one instrumented function."""

    def __init__(self, image: Image, plan: Plan, body: Body, fill: Fill) -> None:
        super().__init__(image, plan, body.function)
        self.body, self.fill = body, fill
        self.past_push = body.entry

    def entry(self, window: Window) -> None:
        """Push, then what was displaced; from here on branches back to the entry lead behind the push."""
        start = self._begin(window)
        self._sequence(self.fill.push, self.body.scratch, window.start, on=False, register=None)
        self.past_push = self.plan.here
        self._displaced(window.insns, self.places.shadow)
        self._jump(window.end, window.end)
        self.places.shadow(*self._last)
        self._end(start)

    def exit(self, window: Window, leave: Exit) -> None:
        """What was displaced before the exit, the pop, the exit."""
        start = self._begin(window)
        self._displaced(window.insns[:-1], self.places.shadow)
        last = window.insns[-1]
        if leave.kind is ExitKind.TAIL_CONDITIONAL:
            self._conditional(last, window.end, leave)
        else:
            self._leave(last, leave)
        self._end(start)

    def branch_to_entry(self, window: Window) -> None:
        """A branch back to the entry, which must not push again."""
        start = self._begin(window)
        self._displaced(window.insns, self.places.shadow)
        if window.insns[-1].kind not in ENDS_FLOW:
            self._jump(window.end, window.end)
            self.places.shadow(*self._last)
        self._end(start)

    def _sequence(
        self,
        what: Sequence,
        scratch: tuple[str, ...],
        old: int,
        *,
        on: bool,
        register: str | None,
        authenticated: bool = False,
    ) -> None:
        """*on*: the return address is on the shadow stack before the sequence; behind its flip it is not, or the
        other way round."""
        binding = Binding(scratch[: what.scratch], self.fill.cell, register or "x30")
        for piece in assemble(self.arch, what, self.plan.here, binding):
            self._put(piece.raw, piece.text, old, pushed=piece.pushed, authenticated=authenticated)
            self._row(piece, on=on != piece.flipped, register=register)

    def _row(self, piece: Emitted, *, on: bool, register: str | None) -> None:
        if on:
            self.places.shadow(*self._last)
        else:
            self.places.away(*self._last, pushed=piece.pushed, register=register)

    def resolve(self, target: int) -> int:
        """Own entry -> behind the push; everything else stands where it stood."""
        return self.past_push if self.body.function.start <= target <= self.body.entry else target

    def _leave(self, last: Insn, leave: Exit) -> None:
        register = leave.register if leave.kind is ExitKind.RETURN else None
        if leave.authenticates:
            self._put(*encode.authenticate(last), last.address)
            self.places.shadow(*self._last)
        self._pop(leave, register)
        if leave.authenticates:
            self._put(*encode.A64_RET, last.address, authenticated=True)
        else:
            self._carried(last, lambda target: target)
        self.places.away(*self._last, register=register)

    def _pop(self, leave: Exit, register: str | None) -> None:
        scratch = tuple(name for name in self.body.scratch if name not in leave.keeps)
        self._sequence(
            self.fill.pop, scratch, leave.address, on=True, register=register, authenticated=leave.authenticates
        )

    def _conditional(self, last: Insn, back: int, leave: Exit) -> None:
        """``jcc popped; jmp back; popped: pop; jmp target``."""
        popped = self.plan.here + size(self.arch, last) + len(encode.jump(self.arch, 0, 0)[0])
        self._carried(last, lambda _target: popped)
        self.places.shadow(*self._last)
        self._jump(back, back)
        self.places.shadow(*self._last)
        self._pop(leave, None)
        assert leave.target is not None, "a conditional branch names its target"
        self._jump(leave.target, leave.address)
        self.places.away(*self._last)
