"""A program's text as a tree of pieces: declarations, functions, statements and blocks of C, or lines of assembly.

No C parser: braces, parentheses, semicolons and quotes are enough to cut where a cut can make sense, and the compiler
says of every other one that it does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

Path = tuple[int, ...]
"""Indices from the top to a block: () is the whole text."""

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|[{}();]|[^"\'{}();]+', re.DOTALL)
_CLOSING = re.compile(r"(;[ \t]*|\})\}")
_WORD = re.compile(r'"(?:\\.|[^"\\])*"|[\w.]+|<<=?|>>=?|[-+*/%&|^=!<>]=|&&|\|\||->|\+\+|--|[^\s\w]')
_NUMBER = re.compile(r"(?<![\w.])(0[xX][0-9a-fA-F]+|\d+)(?=[uUlL]*(?![\w.]))")


@dataclass(frozen=True)
class Piece:
    """``head``, then, where it is a block, ``body`` in braces and ``tail`` behind them."""

    head: str
    body: tuple[Piece, ...] | None = None
    tail: str = ""

    def text(self) -> str:
        """As it stands in the source."""
        if self.body is None:
            return self.head
        inside = "".join(piece.text() for piece in self.body)
        return self.head + "{" + inside + "}" + self.tail


def parse(text: str, *, assembly: bool = False) -> Piece:
    """*text* as one block without braces of its own (``render`` gives it back, character by character)."""
    if assembly:
        return Piece("", tuple(Piece(line) for line in text.splitlines(keepends=True)))
    tokens = _TOKEN.findall(text)
    body, rest = _sequence(tokens, 0)
    return Piece("", (*body, *((Piece("".join(tokens[rest:])),) if rest < len(tokens) else ())))


def render(whole: Piece) -> str:
    """The text of what ``parse`` made, or of what became of it: empty lines are left out, and a brace that ends a block
    of several lines stands on a line of its own."""
    text = _CLOSING.sub(r"\1\n}", "".join(piece.text() for piece in whole.body or ()))
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip()) + "\n"


def _sequence(tokens: list[str], at: int) -> tuple[tuple[Piece, ...], int]:
    """Pieces up to the brace that closes the block, and where that stands."""
    pieces: list[Piece] = []
    head, depth = "", 0
    while at < len(tokens):
        token = tokens[at]
        if token == "}" and depth == 0:
            break
        at += 1
        if token == "{" and depth == 0:
            body, at = _sequence(tokens, at)
            at += 1
            tail, at = ("", at) if _ends_with_brace(head) else _to_semicolon(tokens, at)
            pieces.append(Piece(head, body, tail))
            head = ""
            continue
        depth += (token == "(") - (token == ")")
        head += token
        if token == ";" and depth == 0:
            pieces.append(Piece(head))
            head = ""
    return (*pieces, *((Piece(head),) if head else ())), at


def _ends_with_brace(head: str) -> bool:
    """Whether a block after *head* is a statement or a function, and no initialiser, struct or expression."""
    words = head.strip()
    return not words or words.endswith((")", ":")) or words.split()[-1] in {"else", "do"}


def _to_semicolon(tokens: list[str], at: int) -> tuple[str, int]:
    """What follows a brace, with its semicolon."""
    tail, depth = "", 0
    while at < len(tokens):
        token = tokens[at]
        if token == "}" and depth == 0:
            break
        at += 1
        tail += token
        depth += (token in "({") - (token in ")}")
        if token == ";" and depth == 0:
            break
    return tail, at


def blocks(whole: Piece, path: Path = ()) -> Iterator[Path]:
    """Where the blocks of *whole* are, the outermost first, with *whole* itself."""
    if whole.body is None:
        return
    yield path
    for index, piece in enumerate(whole.body):
        yield from blocks(piece, (*path, index))


def at(whole: Piece, path: Path) -> tuple[Piece, ...]:
    """The pieces of the block at *path*; none where there is no block (any more)."""
    for index in path:
        if whole.body is None or index >= len(whole.body):
            return ()
        whole = whole.body[index]
    return whole.body or ()


def put(whole: Piece, path: Path, body: tuple[Piece, ...]) -> Piece:
    """*whole* with *body* in the block at *path*."""
    if not path:
        return replace(whole, body=body)
    children = whole.body or ()
    first = path[0]
    return replace(whole, body=(*children[:first], put(children[first], path[1:], body), *children[first + 1 :]))


def without(whole: Piece, path: Path, start: int, stop: int) -> Piece:
    """*whole* without the pieces [start, stop) of the block at *path*."""
    body = at(whole, path)
    return put(whole, path, body[:start] + body[stop:])


def unwrapped(whole: Piece, path: Path) -> Piece:
    """*whole* with the pieces of the block at *path* in place of the block and what stands before it."""
    outer, index = path[:-1], path[-1]
    body = at(whole, outer)
    return put(whole, outer, body[:index] + at(whole, path) + body[index + 1 :])


def fewer_words(text: str) -> Iterator[str]:
    """*text* without some words in a row: eight, then four, two, one; its line ends stay."""
    words = list(_WORD.finditer(text))
    for size in (8, 4, 2, 1):
        for start in range(max(len(words) - size + 1, 0)):
            first, last = words[start], words[start + size - 1]
            yield text[: first.start()] + text[last.end() :]


def smaller_numbers(text: str) -> Iterator[str]:
    """*text* with one number of it smaller, each number in turn."""
    for found in _NUMBER.finditer(text):
        value = int(found[1], 0) if not re.fullmatch(r"0\d+", found[1]) else int(found[1], 8)
        for less in (0, 1, 2):
            if less < value:
                yield text[: found.start()] + str(less) + text[found.end() :]
