"""The stop that shows a violation: the shortest stack that was kept of those that broke the requirement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from lab.kept import kept_stops
from lab.store.document import Run
from lab.store.rows import StackRow, VerdictRow

_Key = tuple[str, str, str, str, str, str, int, str, str]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One stop.  ``stop``: its number for ``unwindlab explain RUN STOP``, None where its stacks were not kept (then
    ``truth`` and ``reported`` are empty); stacks are innermost first."""

    run: str
    workload: str
    proposal: str
    mode: str
    location: str
    verdict: str
    unwinder: str
    stop: int | None
    truth: tuple[str, ...]
    reported: tuple[str, ...]

    @property
    def explain(self) -> str:
        """The command that explains it, "" where no stop was kept."""
        return "" if self.stop is None else f"unwindlab explain {self.run} {self.stop} --unwinder {self.unwinder}"


class Kept:
    """The kept stacks of one run, found by what a verdict row says of them."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._numbers: dict[tuple[str, ...], int] = {}
        for number, kept in enumerate(kept_stops(run), 1):
            self._numbers[_stop_key(kept.row)] = number
        self._rows: dict[_Key, list[StackRow]] = defaultdict(list)
        for row in run.result.stacks:
            self._rows[_key(row)].append(row)
        self._verdicts: dict[_Key, list[VerdictRow]] = defaultdict(list)
        for verdict in run.result.verdicts:
            if verdict.verdict != "exact":
                self._verdicts[_key(verdict)].append(verdict)

    def of(self, row: VerdictRow, broken: frozenset[int]) -> list[StackRow]:
        """The stacks kept at the pc of *row* with its verdict, if every row of that pc and verdict is among *broken*
        (identities of rows): dynamic features are not kept with a stack, so elsewhere it might not belong."""
        key = _key(row)
        stacks = self._rows.get(key, [])
        return stacks if stacks and broken.issuperset(map(id, self._verdicts[key])) else []

    def number(self, row: StackRow) -> int:
        """What ``unwindlab explain`` calls the stop."""
        return self._numbers[_stop_key(row)]


def shown(kept: Sequence[Kept], broken: Sequence[tuple[int, VerdictRow]]) -> Evidence:
    """The evidence for the *broken* rows, each with the number of its run."""
    whole = frozenset(id(row) for _, row in broken)
    found = [
        (len(stack.truth), number, _stop_key(stack), stack)
        for number, row in broken
        for stack in kept[number].of(row, whole)
    ]
    if found:
        _, number, _, stack = min(found, key=lambda each: each[:3])
        return _of(
            kept[number].run, stack, kept[number].number(stack), tuple(stack.truth_text), tuple(stack.reported_text)
        )
    number, row = min(broken, key=lambda each: (each[0], each[1].workload, each[1].proposal, each[1].mode, each[1].pc))
    return _of(kept[number].run, row, None, (), ())


def _of(
    run: Run, row: StackRow | VerdictRow, stop: int | None, truth: tuple[str, ...], said: tuple[str, ...]
) -> Evidence:
    return Evidence(
        run=run.run_id, workload=row.workload, proposal=row.proposal, mode=row.mode, location=row.location,
        verdict=row.verdict, unwinder=row.unwinder, stop=stop, truth=truth, reported=said,
    )  # fmt: skip


def _key(row: StackRow | VerdictRow) -> _Key:
    return (
        *(row.arch, row.compiler, row.workload, row.proposal, row.unwinder, row.mode, row.pc),
        *(row.verdict, row.reason),
    )


def _stop_key(row: StackRow) -> tuple[str, ...]:
    return (row.arch, row.compiler, row.workload, row.proposal, row.mode, f"{row.stop:020}")
