"""The verdict figure: bars on a log axis as SVG, PNG and ASCII; the same bytes from run to run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lab.report.bars import LETTER, SHOWN, Bar, BarRow, Panels, panels
from lab.report.canvas import GREY, file_stem, heading, label, write_figure
from lab.report.sums import group_sums
from lab.report.text import arch_title, mailable, share, wrap
from lab.store.document import Run

# Okabe-Ito colours; hatch and letter say the same without colour.
STYLE = {
    "missing": ("#D55E00", ""),
    "extra": ("#CC79A7", "xxxx"),
    "crash": ("#000000", ""),
    "refused": ("#56B4E9", "////"),
}
SLOT = 0.17
"""Height of one bar's slot, inches."""
MARGIN = 1.75
"""Height of title, axis and legend, inches."""
LABEL = 0.16
"""The share of the axis a bar's label takes: one that would run into the next column stands inside the bar."""
NAME_MOST = 34
ASCII_BAR = 50


def write_figures(run: Run, folder: Path) -> list[Path]:
    """Write ``verdicts-<arch>-<compiler>.{svg,png,txt}`` into *folder*; the files, in order.

    A run without stops has no figures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for shown in panels(group_sums(run.result.cells, run.result.verdicts)):
        stem = folder / file_stem(f"verdicts-{shown.arch}-{shown.compiler}")
        written += write_figure(stem, _size(shown), partial(_paint, shown, run), ascii_figure(shown, run.run_id))
    return written


def ascii_figure(shown: Panels, run_id: str) -> str:
    """The figure's twin in plain text, at most 70 columns: one bar per verdict, one block per mode."""
    lines = wrap(f"Verdicts, {arch_title(shown.arch)}, {shown.compiler}: share of stops, log axis (run {run_id})")
    low = shown.least_decade
    for i, mode in enumerate(shown.modes):
        told = shown.told(i)
        lines += ["", f"{mode} stops"]
        if told:
            lines.append(" " * 8 + f"1e{low}".ljust(ASCII_BAR - 1) + "1    share")
        for row in told:
            lines += _ascii_row(row, i, low)
        if rest := sum(1 for row in shown.rows if row not in told and row.exact[i][1]):
            lines.append(f" exact at every stop: {rest} {'more ' if told else ''}row{'' if rest == 1 else 's'}")
    return mailable([*lines, "", *_captions(shown), "M MISSING  E extra  C crash  r refused"])


def _ascii_row(row: BarRow, mode: int, low: int) -> Iterator[str]:
    exact, stops = row.exact[mode]
    yield from wrap(f" {row.proposal} / {row.unwinder}: exact {share(exact, stops)}")
    for bar in row.bars:
        value = bar.share(mode)
        if value > 0:
            length = max(1, round(ASCII_BAR * (1 - math.log10(value) / low)))
            yield f"{LETTER[bar.verdict]:>7} {'#' * length:<{ASCII_BAR}} {bar.label(mode):>8}"


def _captions(shown: Panels) -> list[str]:
    said = []
    if shown.clean:
        said += wrap(f"exact at every stop, not drawn: {', '.join(shown.clean)}")
    if shown.dropped:
        said += wrap(f"{shown.dropped} rows with the fewest MISSING stops are left out; the table has them")
    return said


def _size(shown: Panels) -> tuple[float, float]:
    slots = sum(max(1, len(row.bars)) + 0.6 for row in shown.rows) + _headings(shown)
    return 10.0, MARGIN + SLOT * max(slots, 6)


def _headings(shown: Panels) -> float:
    return 1.1 * len({row.proposal for row in shown.rows})


def _paint(shown: Panels, run: Run, figure: Any) -> None:
    height = figure.get_size_inches()[1]
    about = (
        f"share of stops per proposal and unwinder, log axis; run {run.run_id}, unwindlab {run.provenance.unwindlab}"
    )
    heading(
        figure, f"Where reported stacks differ from the true ones: {arch_title(shown.arch)}, {shown.compiler}", about
    )
    for i, caption in enumerate(_captions(shown)):
        figure.text(0.012, (0.34 - 0.14 * i) / height, caption, fontsize=7, va="center", color=GREY)
    axes = figure.subplots(1, max(1, len(shown.modes)), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(left=0.235, right=0.94, wspace=0.22, top=1 - 0.85 / height, bottom=0.75 / height)
    for i, axis in enumerate(axes):
        _panel(axis, shown, i)
    _legend(figure, height)


def _panel(axis: Any, shown: Panels, mode: int) -> None:
    """One mode.  y counts slots downwards; a proposal's name stands above its unwinders."""
    low = shown.least_decade
    y, proposal = 0.0, None
    ticks: list[tuple[float, str]] = []
    for row in shown.rows:
        if row.proposal != proposal:
            proposal = row.proposal
            _proposal_name(axis, y, proposal, mode)
            y += 1.1
        slots = max(1, len(row.bars))
        ticks.append((y + slots / 2, label(row.unwinder, NAME_MOST)))
        exact, stops = row.exact[mode]
        right = f"{share(exact, stops)}" if stops else "not run"
        axis.text(1.015, y + slots / 2, right, fontsize=6.5, va="center", transform=axis.get_yaxis_transform())
        for i, bar in enumerate(row.bars):
            _bar(axis, bar, mode, y + i + 0.5, low)
        y += slots + 0.6
    if not shown.told(mode) and any(row.exact[mode][1] for row in shown.rows):
        axis.text(0.5, 0.5, "every row is exact", fontsize=9, color="#777777", ha="center", va="center",
                  transform=axis.transAxes, bbox={"facecolor": "white", "edgecolor": "none"})  # fmt: skip
    axis.set_xscale("log")
    axis.set_xlim(10.0**low, 1.0)
    axis.set_ylim(max(y, 6), -0.3)
    axis.set_yticks([tick for tick, _ in ticks], [name for _, name in ticks], fontsize=7.5)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.set_title(f"{shown.modes[mode]} stops" if shown.modes else "", fontsize=9, loc="left")
    axis.text(1.015, 1.0, "exact", fontsize=6.5, va="bottom", transform=axis.transAxes)


def _proposal_name(axis: Any, y: float, proposal: str, mode: int) -> None:
    if y:
        axis.axhline(y - 0.15, color="#BBBBBB", linewidth=0.5)
    if mode == 0:
        transform = axis.get_yaxis_transform()
        axis.text(-0.012, y + 0.5, label(proposal, NAME_MOST), fontsize=7.5, fontweight="bold", ha="right", va="center",
                  transform=transform)  # fmt: skip


def _bar(axis: Any, bar: Bar, mode: int, y: float, low: int) -> None:
    value = bar.share(mode)
    if value <= 0:
        return
    colour, hatch = STYLE[bar.verdict]
    start = 10.0**low
    axis.barh(y, value - start, left=start, height=0.8, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
    inside = value > 10.0 ** (low * LABEL)
    axis.annotate(
        f"{LETTER[bar.verdict]} {bar.label(mode)}", (value, y), xytext=(-3 if inside else 3, 0),
        textcoords="offset points", ha="right" if inside else "left", va="center", fontsize=6,
        bbox={"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none"} if inside else None,
    )  # fmt: skip


def _legend(figure: Any, height: float) -> None:
    from matplotlib.patches import Patch

    names = {"missing": "M MISSING (false trust)", "extra": "E extra", "crash": "C crash", "refused": "r refused"}
    patches = [
        Patch(facecolor=STYLE[v][0], hatch=STYLE[v][1], edgecolor="white", linewidth=0, label=names[v]) for v in SHOWN
    ]
    figure.legend(handles=patches, ncols=4, loc="upper right", bbox_to_anchor=(0.995, 1 - 0.36 / height),
                  frameon=False, fontsize=7.5, borderaxespad=0)  # fmt: skip
