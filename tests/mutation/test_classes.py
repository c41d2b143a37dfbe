"""Detected, harmless, silently wrong, not reached: the definitions of docs/mutation.md on stops made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lab.mutation.classes import Class, classified, compare, same_path
from lab.mutation.stops import SAID, Run, Stops


def run(said: str, pcs: tuple[int, ...] | None = None) -> Run:
    """One design's boundary stops, by the first letter (needless: n) of what it said at each."""
    letters = {name[0]: code for code, name in enumerate(SAID)} | {"e": 0, "x": SAID.index("extra")}
    codes = np.array([[letters[letter]] for letter in said], np.uint8)
    at = np.array(pcs or range(0x1000, 0x1000 + len(said)), np.uint64)
    return Run("exit 0 ''", len(said), 0, {"boundary": Stops(at, codes)})


@pytest.mark.parametrize(
    ("before", "after", "klass"),
    [
        ("eee", "eee", Class.HARMLESS),
        ("eee", "ere", Class.DETECTED),
        ("eee", "ene", Class.HARMLESS),  # the walk would have been right: false doubt, and no harm
        ("eee", "eme", Class.SILENT),
        ("eee", "exe", Class.SILENT),
        ("eee", "ece", Class.SILENT),
        ("eee", "rme", Class.SILENT),  # refused elsewhere does not mend it
        ("ere", "eme", Class.SILENT),
        ("eme", "eme", Class.HARMLESS),
        ("eme", "ece", Class.HARMLESS),  # it was wrong there without the mutant
        ("mer", "erm", Class.SILENT),  # one right again does not make up for one wrong
        ("eme", "eee", Class.HARMLESS),
        ("rre", "rre", Class.HARMLESS),
    ],
)
def test_what_became_of_a_mutant(before: str, after: str, klass: Class) -> None:
    found = compare(run(before), run(after), 0)
    assert classified(found, reached=True) is klass


def test_what_was_never_looked_at_is_not_reached_unless_a_verdict_tells_otherwise() -> None:
    assert classified(compare(run("eee"), run("eee"), 0), reached=False) is Class.NOT_REACHED
    assert classified(compare(run("eee"), run("ene"), 0), reached=False) is Class.HARMLESS


def test_counts_and_the_first_stop() -> None:
    found = compare(run("eeeeme"), run("rnmcmx"), 0)
    assert found.wrong == {"missing": 1, "extra": 1, "crash": 1}
    assert (found.needed, found.needless, found.changed) == (1, 1, True)
    assert found.first == ("boundary", 2, 0x1002)


def test_the_same_path_but_for_replaced_code() -> None:
    before, after = run("ee", (0x1000, 0x1003)), run("ee", (0x1000, 0x1004))
    assert not same_path(before, after, ())
    assert same_path(before, after, [(0x1000, 0x1008)])
