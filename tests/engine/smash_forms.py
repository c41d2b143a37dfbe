"""Programs that smash live frame records: one store form after the other, made from tables of templates.

A program calls ``deep`` some 50 times into itself and then ``smash``.  There each form of a group writes a
wrong value into a slot of the frame record of 0, 1, 5 or 50 levels up, goes on through a call, and another
form writes the true value back.  The true values stay in registers, so control flow never depends on them.

Marker lines in assembly text become symbols (see ``mark``)::

    HIT     at the next instruction a plain frame-pointer walk must not be exact
    HEAL    there it must be exact again
    SAME    there it must be exact although something was stored
    BOTH    there it must be exact at some stops and not at others
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

DEPTH = 52
LEVELS = (0, 1, 5, 50)
MARKS = ("HIT", "HEAL", "SAME", "BOTH")
SLOTS = (0, 8)


@dataclass(frozen=True)
class Group:
    """Store forms of one kind.

    ``full`` templates store all eight bytes of register {v} at the record + {slot}; they smash and restore.
    ``partial`` ones store some bytes of it, or something else that is wrong; they only smash.
    ``top_byte`` ones store byte 7 alone, which pointer authentication hides in a return address on AArch64.
    A template that needs its own bytes below or above the slot reads them first, so nothing else changes.
    """

    name: str
    full: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()
    top_byte: tuple[str, ...] = ()
    levels: tuple[int, ...] = LEVELS


@dataclass(frozen=True)
class Dialect:
    """An architecture's texts.  ``skeleton`` has the places {smash} and {depth}; ``fields`` gives each slot's
    extra template fields; ``wrong`` computes the wrong value of the register in {true} and ``registers`` are
    the true values' and the wrong value's."""

    skeleton: str
    walk: str
    wrong: str
    registers: tuple[str, str, str]
    default: str
    call: str
    fields: dict[int, dict[str, str]]
    hides_top_byte: bool


def mark(text: str) -> str:
    """*text* with marker lines turned into labels ``hit_0``, ``heal_0``, ``same_0`` and so on."""
    counts = dict.fromkeys(MARKS, 0)
    lines = []
    for line in text.splitlines():
        word = line.strip()
        if word in counts:
            lines.append(f"{word.lower()}_{counts[word]}:")
            counts[word] += 1
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def semicolons(text: str) -> str:
    """One instruction a line: templates are written with semicolons."""
    return "\n".join(" " + part.strip() for part in text.split(";"))


def program(dialect: Dialect, group: Group) -> str:
    """The marked text of a program that goes through *group*."""
    return body(dialect, "\n".join(_levels(dialect, group)))


def body(dialect: Dialect, smash: str) -> str:
    """The marked text of a program whose innermost function does *smash*."""
    return mark(dialect.skeleton.replace("{smash}", smash).replace("{depth}", str(DEPTH)))


def _levels(dialect: Dialect, group: Group) -> Iterator[str]:
    full = group.full or (dialect.default,)
    for level in group.levels:
        yield dialect.walk.replace("{level}", str(level))
        for slot in SLOTS:
            hidden = dialect.hides_top_byte and slot == 8
            forms = [(form, "HIT") for form in (*group.full, *group.partial)]
            forms += [(form, "SAME" if hidden else "HIT") for form in group.top_byte]
            for index, (form, expected) in enumerate(forms):
                healer = full[(index + 1) % len(full)]
                yield _pair(dialect, form, healer, slot, expected)


def _pair(dialect: Dialect, form: str, healer: str, slot: int, expected: str) -> str:
    true, wrong = dialect.registers[slot // 8], dialect.registers[2]
    return "\n".join(
        (
            semicolons(dialect.wrong.replace("{true}", true)),
            _fill(dialect, form, slot, wrong),
            expected,
            dialect.call,
            _fill(dialect, healer, slot, true),
            "HEAL",
            dialect.call,
        )
    )


def _fill(dialect: Dialect, template: str, slot: int, value: str) -> str:
    fields = dialect.fields[slot] | {"v": value, "w": value.replace("x", "w")}
    return semicolons(template.format(slot=slot, n=slot // 8, **fields))
