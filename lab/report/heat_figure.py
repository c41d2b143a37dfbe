"""The heat map of lab.report.heat as SVG, PNG and ASCII: shades on a log scale, and in each cell its figure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lab.report.canvas import GREY, file_stem, heading, label, write_figure
from lab.report.heat import ABOUT, Heat, HeatRow, ascii_heat, captions, heats
from lab.report.text import arch_title
from lab.store.document import Run

NAMES = {"missing": "M  MISSING (false trust)", "extra": "E  extra", "crash": "C  crash", "refused": "r  refused"}
SHADES = {
    "missing": (0.84, 0.37, 0.0),
    "extra": (0.8, 0.47, 0.65),
    "crash": (0.6, 0.6, 0.6),
    "refused": (0.34, 0.71, 0.91),
}
"""Okabe and Ito's colours at full share; paler for less.  The verdict is also the block's heading."""
PALEST, DECADES = 0.12, 4.0
CELL, SLOT = 0.58, 0.18
"""Inches."""
LEFT, TOP, BOTTOM, GAP, EXTENT = 2.5, 1.25, 0.5, 0.25, 3.9
NAME_MOST = 36


def write_heat_figures(run: Run, folder: Path) -> list[Path]:
    """``heat-<arch>-<compiler>-<mode>.{svg,png,txt}`` in *folder*; the files, in order.

    Only modes whose stops lie in several parts of a function, and are not all exact, have one."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for heat in heats(run.result.cells, run.result.verdicts):
        stem = folder / file_stem(f"heat-{heat.arch}-{heat.compiler}-{heat.mode}")
        written += write_figure(stem, _size(heat), partial(_paint, heat, run), ascii_heat(heat, run.run_id))
    return written


def _size(heat: Heat) -> tuple[float, float]:
    wide = LEFT + len(heat.verdicts) * (len(heat.parts) * CELL + GAP) + 0.1
    high = TOP + BOTTOM + SLOT * sum(1 if row is not None else 1.3 for _, row in _slots(heat))
    return max(wide, LEFT + EXTENT), high


def _slots(heat: Heat) -> Iterator[tuple[str, HeatRow | None]]:
    """A heading per proposal (no row), then its unwinders."""
    proposal = None
    for row in heat.rows:
        if row.proposal != proposal:
            proposal = row.proposal
            yield proposal, None
        yield row.unwinder, row


def _paint(heat: Heat, run: Run, figure: Any) -> None:
    """One axis over the whole figure, in inches, y downwards."""
    wide, high = figure.get_size_inches()
    title = f"Verdicts by part of a function: {arch_title(heat.arch)}, {heat.compiler}, {heat.mode} stops"
    heading(figure, title, f"{ABOUT.partition(';')[0]}; run {run.run_id}, unwindlab {run.provenance.unwindlab}")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    axis.set_xlim(0, wide)
    axis.set_ylim(high, 0)
    starts = [LEFT + i * (len(heat.parts) * CELL + GAP) for i in range(len(heat.verdicts))]
    for start, verdict in zip(starts, heat.verdicts, strict=True):
        axis.text(start, TOP - 0.38, NAMES[verdict], fontsize=8, fontweight="bold", va="center")
        for i, part in enumerate(heat.parts):
            axis.text(start + (i + 0.5) * CELL, TOP - 0.16, part, fontsize=7, ha="center", va="center", color=GREY)
    y = TOP
    for name, row in _slots(heat):
        if row is None:
            axis.text(0.1, y + 0.75 * SLOT, label(name, NAME_MOST), fontsize=7.5, fontweight="bold", va="center")
            y += 1.3 * SLOT
            continue
        axis.text(LEFT - 0.12, y + SLOT / 2, label(name, NAME_MOST), fontsize=7.5, ha="right", va="center")
        for start, verdict in zip(starts, heat.verdicts, strict=True):
            for i, part in enumerate(heat.parts):
                _cell(axis, (start + i * CELL, y), row, part, verdict)
        y += SLOT
    for i, caption in enumerate(captions(heat)):
        axis.text(0.1, high - 0.34 + 0.15 * i, caption, fontsize=7, va="center", color=GREY)


def _cell(axis: Any, place: tuple[float, float], row: HeatRow, part: str, verdict: str) -> None:
    from matplotlib.patches import Rectangle

    value = row.share(part, verdict)
    axis.add_patch(Rectangle(place, CELL, SLOT, facecolor=_shade(verdict, value), edgecolor="white", linewidth=0.8))
    text = row.text(part, verdict)
    axis.text(place[0] + CELL / 2, place[1] + SLOT / 2, text, fontsize=6.2, ha="center", va="center",
              color="black" if value else "#777777")  # fmt: skip


def _shade(verdict: str, value: float | None) -> Any:
    """White for nothing, full colour for all, between them by the logarithm."""
    if value is None:
        return "#EEEEEE"
    if value == 0:
        return "#FFFFFF"
    depth = PALEST + (1 - PALEST) * max(0.0, 1 + math.log10(value) / DECADES)
    return tuple(1 - depth * (1 - channel) for channel in SHADES[verdict])
