"""A respin's differences as text for a mail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from lab.report.costs import heading
from lab.report.diff import KINDS, Change, Respin
from lab.report.strip import LETTERS
from lab.report.text import Line, count, mailable, table, wrap
from lab.store.document import Run
from lab.store.provenance import version_differences
from lab.store.rows import CellKey

MOST = 12
"""Changes listed of each kind."""
TITLES = {
    "worse": "Worse (the worst verdict at that pc is a worse one)",
    "better": "Better",
    "new": "New: no stop there before",
    "gone": "Gone: no stop there any more",
}
_NAMES = {"missing": "MISSING"}


def diff_text(found: Respin, before: Run, after: Run, most: int = MOST) -> str:
    """Numbers of changed PCs for each design, then the changes, worst first; at most *most* of each kind."""
    lines = [*wrap(f"From run {before.run_id} to run {after.run_id}: verdicts that differ, by pc")]
    lines += [line for text in version_differences(before.provenance, after.provenance) for line in wrap(f" {text}")]
    lines += _settings(before, after)
    lines += _images(found)
    lines += _table(found, after)
    for kind, title in TITLES.items():
        lines += _listed([change for change in found.changes if change.kind == kind], title, most)
    for title, cells in (("Cells of the first run only", found.gone), ("Cells of the second run only", found.new)):
        lines += _cells(title, cells)
    lines += ["", f"{count(found.same, 'cell')} without any difference"]
    lines += ["order of verdicts, worst first: crash MISSING extra refused exact"]
    return mailable([*lines, f"repro: unwindlab diff {before.run_id} {after.run_id}"])


def _settings(before: Run, after: Run) -> Iterator[str]:
    """What else differs between the experiments: another input makes other counts."""
    old, new = before.result.experiment, after.result.experiment
    for name in ("size", "seed", "max_instructions"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            yield f" {name}: {was} then, {now} now"


def _images(found: Respin) -> Iterator[str]:
    for how in ("instructions", "offsets"):
        images = [f"{workload}/{proposal} ({arch})" for (arch, _, workload, proposal), by in found.aligned.items()
                  if by == how]  # fmt: skip
        if images:
            some = ", ".join(images[:4]) + (f" and {len(images) - 4} more" if len(images) > 4 else "")
            yield from wrap(f" other code, paired by {how}: {some}")


def _table(found: Respin, after: Run) -> list[str]:
    counts: dict[tuple[str, str, str], dict[tuple[str, str], Counter[str]]] = {}
    for change in found.changes:
        arch, compiler, _, proposal, unwinder, mode = change.cell
        group = counts.setdefault((arch, compiler, mode), {})
        group.setdefault((proposal, unwinder), Counter())[change.kind] += 1
    body: list[Line] = []
    for (arch, compiler, mode), rows in counts.items():
        body.append(Line(f"{heading(arch, compiler, after.result)}, {mode} stops"))
        for (proposal, unwinder), kinds in rows.items():
            body.append(Line(f" {proposal} / {unwinder}", tuple(str(kinds[kind]) for kind in KINDS)))
    return ["", "PCs", *table(KINDS, body)] if body else []


def _listed(changes: Sequence[Change], title: str, most: int) -> list[str]:
    if not changes:
        return []
    lines = ["", f"{title}: {count(len(changes), 'PC')}"]
    for change in sorted(changes, key=_badness)[:most]:
        arch, _, workload, proposal, unwinder, mode = change.cell
        was, now = change.locations
        place = now if was == now or not was else was if not now else f"{was} -> {now}"
        told = f"{_said(change.before)} -> {_said(change.after)}"
        lines += wrap(f" {place}: {told}  ({unwinder}, {workload}, {proposal}, {arch} {mode})")
    if len(changes) > most:
        lines.append(f" {len(changes) - most} more; --json has all")
    return lines


def _badness(change: Change) -> int:
    """The worst verdicts first; a place that is gone by what it was."""
    return list(LETTERS).index(next(iter(change.after or change.before)))


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {_NAMES.get(verdict, verdict)}" for verdict, number in counts.items()) or "no stop"


def _cells(title: str, cells: Sequence[CellKey]) -> list[str]:
    if not cells:
        return []
    kinds = dict.fromkeys(f"{proposal} / {unwinder}" for _, _, _, proposal, unwinder, _ in cells)
    return ["", *wrap(f"{title}: {len(cells)} ({', '.join(kinds)})")]
