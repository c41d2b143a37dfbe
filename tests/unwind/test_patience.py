"""An unwinder that does not return ends as a crash that names its line; it is asked once a job."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab import registry
from lab.errors import InputError
from lab.unwind import patience
from lab.unwind.api import END, Unwinder
from lab.unwind.host import Ending, walk


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.05)


class Calls:
    """Counts how often it is asked; *hangs* says where it does not return."""

    def __init__(self, hangs: str) -> None:
        self.asked, self.hangs = 0, hangs

    def start(self, _mode: int, _pc: int, _regs: Any) -> tuple[int, ...]:
        self.asked += 1
        while self.hangs == "start":
            pass
        return (0,)

    def step(self, _mem: Any, cursor: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
        while self.hangs == "step":
            pass
        return END, 0, cursor


def trace(calls: Calls) -> Any:
    memory: Any = SimpleNamespace(fault=None, view=None)
    regs: Any = None
    return walk(Unwinder("mine", "", "", calls.start, calls.step, origin="mine.py"), 0, 0, regs, memory)


@pytest.mark.parametrize("place", ["start", "step"])
def test_a_call_that_does_not_return_is_a_crash_and_the_last_one(place: str) -> None:
    calls = Calls(place)
    with patience.patience():
        first, second = trace(calls), trace(calls)
    assert (first.ending, second.ending, calls.asked) == (Ending.CRASH, Ending.CRASH, 1)
    assert first.detail.startswith("test_patience.py:")
    assert first.detail.endswith("NoAnswerError: no answer within 0.05 s of processor time")
    assert second.detail == "mine.py: not asked again, for it gave no answer before"


def test_each_job_asks_again() -> None:
    with patience.patience():
        trace(Calls("step"))
    with patience.patience():
        assert trace(Calls("nowhere")).detail != "mine.py: not asked again, for it gave no answer before"


def test_a_file_that_does_not_end_is_refused(tmp_path: Any) -> None:
    path = tmp_path / "mine.py"
    path.write_text("while True: pass\n")
    with pytest.raises(InputError, match=r"mine.py: NoAnswerError: no answer within"):
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
