"""The models' cycles as tables, and in JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from lab.cost.pipeline.mca import Model, version
from lab.cost.pipeline.pairs import PairRow
from lab.report.text import Line, mailable, table, wrap

AT_ONCE = 4
"""Models side by side."""


def render(rows: Sequence[PairRow], models: Sequence[Model]) -> str:
    """Cycles per pair, a column for each model; an artefact is marked with an asterisk."""
    lines = ["MODEL: cycles per prologue and epilogue pair, arm64"]
    lines += wrap(
        f"by llvm-mca ({version()}), -noalias=false: a model of each core, not the core: no caches, branches always "
        "predicted, each pair follows the one before"
    )
    for start in range(0, len(models), AT_ONCE):
        shown = models[start : start + AT_ONCE]
        body = [
            Line(
                f" {name}", tuple(_cell(next(r for r in rows if (r.proposal, r.core) == (name, m.core))) for m in shown)
            )
            for name in dict.fromkeys(row.proposal for row in rows)
        ]
        lines += ["", *table(tuple(model.core for model in shown), body)]
    lines += ["", *_remarks(rows, models)]
    return mailable(lines)


def _cell(row: PairRow) -> str:
    return "n/a" if row.cycles is None else f"{row.cycles:.2f}{'*' if row.artefact else ''}"


def _remarks(rows: Sequence[PairRow], models: Sequence[Model]) -> Iterator[str]:
    for model in models:
        if len(model.cores) > 1:
            yield from wrap(f"one model: {', '.join(model.cores)}")
    if any(row.artefact for row in rows):
        yield from wrap("* artefact of the model: faster than the base, which executes fewer of the same instructions")
    if any(row.cycles is None for row in rows):
        yield from wrap("n/a: the model has no figure for an instruction of the sequence (paciasp, autiasp)")
    yield from wrap("not used for x86-64, whose models do not tell these sequences apart")


def to_json(rows: Sequence[PairRow], models: Sequence[Model]) -> dict[str, Any]:
    """``cycles`` are a model's."""
    return {
        "model": version(),
        "rows": [asdict(row) | {"artefact": row.artefact} for row in rows],
        "shared": {model.core: list(model.cores) for model in models},
    }
