"""A program's text is cut where a cut can make sense, and nothing is lost on the way."""

from __future__ import annotations

import re

import pytest

from lab.images.workloads import Workload, all_workloads
from lab.shrink import pieces
from lab.shrink.pieces import Piece, parse, render

TEXT = """\
typedef unsigned long u64;
struct record {
 u64 fp;
};
static const int table[] = {1, 2};
__asm__("{ ; } (");
u64 f(u64 x)
{
 if (x) {
  g(x);
  h("}");
 } else
  return 2;
 do { x--; } while (x);
 return x;
}
"""


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def heads(body: tuple[Piece, ...] | None) -> list[str]:
    return [" ".join(piece.head.split()) for piece in body or ()]


def test_top_level_and_statements() -> None:
    tree = parse(TEXT)
    assert heads(tree.body) == [
        "typedef unsigned long u64;", "struct record", "static const int table[] =", '__asm__("{ ; } (");',
        "u64 f(u64 x)", "",
    ]  # fmt: skip
    assert heads(pieces.at(tree, (4,))) == ["if (x)", "else return 2;", "do", "while (x);", "return x;", ""]
    assert heads(pieces.at(tree, (4, 0))) == ["g(x);", 'h("}");', ""]
    assert list(pieces.blocks(tree)) == [(), (1,), (2,), (4,), (4, 0), (4, 2)]


def test_leaving_out_and_unwrapping() -> None:
    tree = parse(TEXT)
    assert "struct" not in render(pieces.without(tree, (), 1, 2))
    assert squeezed('u64 f(u64 x){if(x){h("}");}') in squeezed(render(pieces.without(tree, (4, 0), 0, 1)))
    assert squeezed('{g(x);h("}");else return 2;') in squeezed(render(pieces.unwrapped(tree, (4, 0))))
    assert pieces.at(tree, (4, 9, 1)) == ()


@pytest.mark.parametrize("workload", all_workloads(), ids=lambda workload: str(workload.name))
def test_every_workload_comes_back_whole(workload: Workload) -> None:
    text = re.sub(r"/\*.*?\*/", "", workload.path.read_text(encoding="utf-8"), flags=re.DOTALL)  # as when flattened
    assembly = workload.path.suffix != ".c"
    assert squeezed(render(parse(text, assembly=assembly))) == squeezed(text)


def test_assembly_is_lines() -> None:
    assert heads(parse("a: nop\n b {\n ret\n", assembly=True).body) == ["a: nop", "b {", "ret"]


def test_numbers_become_smaller_and_words_fewer() -> None:
    assert list(pieces.smaller_numbers("f(2, x1, 0x10u)")) == [
        "f(0, x1, 0x10u)", "f(1, x1, 0x10u)", "f(2, x1, 0u)", "f(2, x1, 1u)", "f(2, x1, 2u)",
    ]  # fmt: skip
    assert list(pieces.smaller_numbers("x0 = 0;")) == []
    fewer = list(pieces.fewer_words("a <<= b;"))
    assert fewer == ["", " b;", "a ;", "a <<= ", " <<= b;", "a  b;", "a <<= ;", "a <<= b"]
