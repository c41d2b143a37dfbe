"""Plain text that survives mail: rounding that never lies, 70 columns, no line a mail tool would cut at."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.report.text import Line, change, clean, mailable, share, signed, table, wrap


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 10, "0"),
        (10, 10, "100.00%"),
        (1, 3, "33.33%"),
        (1, 10**6, "<0.01%"),
        (10**6 - 1, 10**6, ">99.99%"),
        (5, 10**5, "<0.01%"),
        (1, 10**4, "0.01%"),
        (0, 0, "n/a"),
    ],
)
def test_shares(part: int, whole: int, text: str) -> None:
    assert share(part, whole) == text


@given(st.integers(0, 10**12), st.integers(1, 10**12))
def test_a_share_never_claims_nothing_or_everything_wrongly(part: int, whole: int) -> None:
    part = min(part, whole)
    text = share(part, whole)
    assert (text == "0") == (part == 0)
    assert (text == "100.00%") == (part == whole)
    assert "0.00%" not in {text}
    assert len(text) <= 7


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(4), "+4.00"),
        (Fraction(-1, 3), "-0.33"),
        (Fraction(1, 10**6), "+<0.01"),
        (Fraction(0), "0"),
        (None, "n/a"),
    ],
)
def test_signed_differences(value: Fraction | None, text: str) -> None:
    assert signed(value) == text


def test_change_in_percent() -> None:
    assert change(6, 8) == "+33.33%"
    assert change(0, 8) == "n/a"
    assert change(8, 8) == "0"


@given(st.lists(st.text()))
def test_any_lines_become_mailable(lines: list[str]) -> None:
    text = mailable(lines)
    assert text.isascii()
    for line in text.split("\n"):
        assert len(line) <= 70
        assert line.isprintable()
        assert not line.startswith(("---", "diff -", "Index: "))


@given(st.sampled_from(["---", "diff -", "Index: "]), st.text(max_size=200))
def test_lines_that_would_cut_a_mail_are_defused(start: str, rest: str) -> None:
    assert all(len(line) <= 70 and not line.startswith(start) for line in mailable([start + rest]).split("\n"))


@given(st.lists(st.text(), min_size=1))
def test_nothing_is_lost_by_wrapping(words: list[str]) -> None:
    text = " ".join(words)
    assert "".join("".join(wrap(text)).split()) == "".join(clean(text).split())


@given(st.lists(st.tuples(st.text(max_size=90), st.integers(0, 10**9)), min_size=1, max_size=5))
def test_tables_keep_their_width_and_every_number(rows: list[tuple[str, int]]) -> None:
    lines = table(("left", "right"), [Line(name, (str(n), str(n))) for name, n in rows])
    assert all(len(line) <= 70 for line in lines)
    ends = [line.split()[-1] for line in lines if line.strip()]
    assert all(str(n) in ends for _, n in rows)
