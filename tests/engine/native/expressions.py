"""Random functions over unsigned 64-bit integers, as source text, for comparing both dialects of one source."""

from __future__ import annotations

import textwrap

from hypothesis import strategies as st

NAMES = ("a", "b", "c", "x", "y")
CONSTANTS = ("0", "1", "2", "7", "8", "255", "BIG", "Kind.TWO", "PAIR[0]", "PAIR[1]", "True", "False")
CONSTANTS += ("0x7fffffff", "0x80000000", "(1 << 63)", "0x7fffffffffffffff", "0xffffffffffffffff", "-1", "-8")

HEAD = """
import enum
from lab.unwind.api import *
from lab.unwind.api import Unwinder

BIG = 1 << 63
PAIR = (5, 0xffff_ffff_8000_0000)
SET = (0, 1, 255, 1 << 63)

class Kind(enum.IntEnum):
    TWO = 2

def twice(p):
    return p + p

def nearer(p, q):
    if p - q < q - p:
        return p
    return q
"""


def values() -> st.SearchStrategy[str]:
    """Integers and truth values alike, as an expression's text."""
    leaf = st.sampled_from(NAMES) | st.sampled_from(CONSTANTS)
    return st.recursive(leaf, _larger, max_leaves=7)


def _larger(part: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def join(text: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.tuples(*parts).map(lambda found: "(" + text.format(*found) + ")")

    operator = st.sampled_from(("+", "-", "*", "&", "|", "^"))
    order = st.sampled_from(("<", "<=", ">", ">=", "==", "!="))
    shift = st.sampled_from(("<<", ">>"))
    return st.one_of(
        join("{} {} {}", part, operator, part),
        join("{} {} {}", part, shift, st.sampled_from(("0", "1", "31", "32", "63"))),
        join("{} {} {}", part, st.sampled_from(("//", "%")), st.sampled_from(("1", "3", "BIG", "0xffffffffffffffff"))),
        join("{} {} {}", part, order, part),
        join("{} {} {} {} {}", part, order, part, order, part),
        join("{} {} {}", part, st.sampled_from(("and", "or")), part),
        join("{}{}", st.sampled_from(("~", "-", "not ", "+")), part),
        join("{} if {} else {}", part, part, part),
        join("{} {} ({}, {}, 8)", part, st.sampled_from(("in", "not in")), part, part),
        join("{} in SET", part),
        join("{}({}, {})", st.sampled_from(("min", "max", "nearer")), part, part),
        join("twice({})", part),
    )


def blocks(depth: int = 2) -> st.SearchStrategy[str]:
    """Some statements' text."""
    name, value = st.sampled_from(("x", "y", "a")), values()
    assign = st.tuples(name, st.sampled_from(("=", "+=", "-=", "^=", "*=")), value).map(" ".join)
    swap = st.just("x, y = y, x")
    kinds = [assign, assign, swap]
    if depth:
        inner = blocks(depth - 1).map(lambda text: textwrap.indent(text, "    "))
        kinds += [
            st.tuples(value, inner, inner).map(lambda p: f"if {p[0]}:\n{p[1]}\nelse:\n{p[2]}"),
            st.tuples(value, inner, st.sampled_from(("break", "continue"))).map(
                lambda p: f"for i in range(3, 12, 4):\n    x = x + i\n    if {p[0]}:\n        {p[2]}\n{p[1]}"
            ),
            st.tuples(value, inner).map(lambda p: f"for j in range(b & 3, {p[0]} & 7):\n    y = y + j\n{p[1]}"),
            inner.map(lambda text: f"n = b & 7\nwhile n != 0:\n    n = n - 1\n{text}"),
        ]
    return st.lists(st.one_of(kinds), min_size=1, max_size=3).map("\n".join)


def function(name: str) -> st.SearchStrategy[str]:
    """``def name(a, b, c)``: some statements, and a value."""
    whole = st.tuples(blocks(), values())
    return whole.map(
        lambda p: (
            f"def {name}(a, b, c):\n    x = a - b\n    y = c\n{textwrap.indent(p[0], '    ')}\n    return {p[1]}\n"
        )
    )


@st.composite
def plugins(draw: st.DrawFn, count: int) -> str:
    """A module with *count* functions, and a step that calls the one its cursor names."""
    names = [f"f{index}" for index in range(count)]
    text = HEAD + "\n".join(draw(function(name)) for name in names)
    text += "\ndef start(mode, pc, regs):\n    return pc, regs.sp, regs.fp, regs.lr\n"
    text += "\ndef step(mem, cursor):\n    which, a, b, c = cursor\n"
    for index, name in enumerate(names):
        text += f"    if which == {index}:\n        return FRAME, {name}(a, b, c), cursor\n"
    return text + '    return END, 0, cursor\nUNWINDER = Unwinder("many", "many", "made for tests", start, step)\n'
