"""What a moved body is made of.  Every item knows its size before any address is known.

Labels are addresses of the original code ("what stood there"), or negative numbers for places of our own.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lab.arch import Arch
from lab.arch.decode import Insn, Kind
from lab.layout import LayoutRow, Where
from rewriters import encode, moving
from rewriters.insertion.pointers import renamed
from rewriters.insertion.prefixes import is_prefix
from rewriters.insertion.references import Form, Pointer
from rewriters.moving import Moved
from rewriters.plan import Plan
from rewriters.sequences import Binding, Sequence, assemble
from rewriters.unwind import Span


@dataclass(frozen=True, slots=True)
class Answer:
    """Where the return address is before an instruction (see lab.layout.LayoutRow)."""

    where: Where
    offset: int = 0
    reason: str = ""

    def row(self, start: int, end: int, pushed: int = 0) -> LayoutRow:
        """As a row, with *pushed* more bytes on the stack."""
        offset = self.offset + pushed if self.where is Where.STACK else 0
        return LayoutRow(start, end, self.where, offset, self.reason)


SHADOW = Answer(Where.SHADOW)


def away(arch: Arch, register: str | None = None) -> Answer:
    """Not on the shadow stack: where a call leaves it, or in *register*."""
    if arch.lr is None:
        return Answer(Where.STACK)
    if register in {None, arch.lr}:
        return Answer(Where.LR)
    return Answer(Where.UNKNOWN, 0, f"the return address is in {register}")


class World(Protocol):
    """What an item asks when it is written."""

    plan: Plan
    arch: Arch
    cell: int | None

    def code(self, label: int) -> int:
        """Where to jump for *label*."""

    def called(self, address: int) -> int:
        """Where to call what stood at *address*."""

    def name(self, insn: Insn) -> tuple[Pointer, int] | None:
        """If *insn* yields a function's address that is to follow the function: how, and the new address."""

    def carried(self, item: CarriedItem, start: int, size: int) -> None:
        """The instruction of *item* now stands at *start* in *size* bytes."""


class Item(Protocol):
    """One piece of a moved body; ``label`` is what it stands for."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def label(self) -> int | None:
        """The place it begins."""

    def write(self, world: World) -> None:
        """Append to the plan's text, with spans and rows."""


class Way(enum.Enum):
    """How an original instruction is said at its new address."""

    CARRY = "carry"  # in a form that reaches everywhere
    SHORT = "short"  # in its own form: what it goes to is near
    SAME = "same"  # byte for byte: what it names has moved as far as itself
    PLAIN = "plain"  # byte for byte: it means the same everywhere


@dataclass(frozen=True, slots=True)
class CarriedItem:
    """An original instruction.  ``target``: the label it jumps to instead of its own target."""

    insn: Insn
    size: int
    answer: Answer
    label: int | None
    way: Way = Way.CARRY
    target: int | None = None

    def write(self, world: World) -> None:
        """See Item."""
        at = world.plan.here
        size, insn = self.size, self.insn
        if is_prefix(insn):
            world.plan.text.fill(insn.raw)
        elif self.way is Way.PLAIN:
            world.plan.text.put(insn.raw, insn.text)
        else:
            moved = self._moved(world, at)
            size = len(moved.raw)
            for raw, text in moved.parts:
                world.plan.text.put(raw, text)
        world.plan.rows.append(self.answer.row(at, at + size))
        world.carried(self, at, size)

    def _moved(self, world: World, at: int) -> Moved:
        insn, arch = self.insn, world.arch
        if self.way is Way.SAME:
            named = moving.refers_to(arch, insn)
            assert named is not None
            return moving.retarget(arch, insn, at, named + at - insn.address)
        label = insn.target if self.target is None else self.target
        if label is None:
            return self._naming(world, at)
        goal = world.called(label) if insn.kind is Kind.CALL else world.code(label)
        if self.way is Way.SHORT:
            return moving.retarget(arch, insn, at, goal)
        return moving.carry(arch, insn, at, lambda _: goal)

    def _naming(self, world: World, at: int) -> Moved:
        """No direct jump: perhaps a pointer that follows its function."""
        found = world.name(self.insn)
        if found is None:
            return moving.carry(world.arch, self.insn, at, lambda address: address)
        pointer, goal = found
        if pointer.form is Form.RELATIVE:
            return moving.carry(world.arch, self.insn, at, lambda _: goal)
        return renamed(world.arch, self.insn, pointer, at, goal)


@dataclass(frozen=True, slots=True)
class Mark:
    """No bytes: a place."""

    label: int
    size: int = 0

    def write(self, world: World) -> None:
        """See Item."""


@dataclass(frozen=True, slots=True)
class SequenceItem:
    """A push or a pop.  ``old``: the original address whose unwind state holds here."""

    sequence: Sequence
    scratch: tuple[str, ...]
    size: int
    old: int
    before: Answer
    after: Answer
    label: int | None
    register: str | None = None
    authenticated: bool = False

    def write(self, world: World) -> None:
        """See Item."""
        binding = Binding(self.scratch, world.cell, self.register or "x30")
        for piece in assemble(world.arch, self.sequence, world.plan.here, binding):
            at = world.plan.text.put(piece.raw, piece.text)
            end = at + len(piece.raw)
            world.plan.spans.append(Span(at, end, self.old, piece.pushed, 0, self.authenticated))
            world.plan.rows.append((self.after if piece.flipped else self.before).row(at, end, piece.pushed))


@dataclass(frozen=True, slots=True)
class OwnItem:
    """An instruction of ours: ``make``(pc, target) encodes it; ``target`` is a label, if it has one."""

    make: Callable[[int, int], encode.Encoded]
    size: int
    old: int
    answer: Answer
    label: int | None = None
    target: int | None = None
    authenticated: bool = False

    def write(self, world: World) -> None:
        """See Item."""
        target = 0 if self.target is None else world.code(self.target)
        part = self.make(world.plan.here, target)
        at = world.plan.text.put(*part)
        end = at + len(part[0])
        world.plan.spans.append(Span(at, end, self.old, 0, 0, self.authenticated))
        world.plan.rows.append(self.answer.row(at, end))


def jump(arch: Arch, target: int, old: int, answer: Answer, label: int | None = None) -> OwnItem:
    """A jump to the label *target*."""
    size = len(encode.jump(arch, 0, 0)[0])
    return OwnItem(lambda pc, to: encode.jump(arch, pc, to), size, old, answer, label, target)


def fixed(part: encode.Encoded, old: int, answer: Answer, *, authenticated: bool = False) -> OwnItem:
    """An instruction that is the same everywhere."""
    return OwnItem(lambda _pc, _to: part, len(part[0]), old, answer, authenticated=authenticated)
