"""Loading a user's unwinder file: one line for whatever is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from lab import registry
from lab.errors import InputError
from lab.unwind import watchdog


def test_a_file_that_does_not_end_is_refused(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "TICK", 0.05)
    path = tmp_path / "mine.py"
    path.write_text("while True: pass\n")
    with pytest.raises(InputError, match=r"mine.py: importing it does not come to an end"):
        registry.load_unwinder(path)


HEAD = "from lab.unwind.api import Unwinder\ndef f(*a): pass\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def x(:", "SyntaxError"),
        ("", "defines no UNWINDER"),
        (HEAD + "UNWINDER = Unwinder('a', '', '', None, f)", "must be functions"),
        (HEAD + "UNWINDER = Unwinder('a/b', '', '', f, f)", "must be one word"),
        (HEAD + "UNWINDER = Unwinder('a\\nb', '', '', f, f)", "must be one word"),
        (HEAD + "UNWINDER = Unwinder('a', '', '', f, f, oracle=True)", "told the truth"),
    ],
)
def test_a_file_that_holds_no_unwinder_is_refused_in_one_line(tmp_path: Any, text: str, said: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        registry.load_unwinder(path)
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].startswith(str(path))
