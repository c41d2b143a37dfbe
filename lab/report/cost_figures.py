"""Figures of what proposals cost: MISSING against cost, cost per entry, metadata; the same bytes every time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lab.report.canvas import COLOURS, GREY, file_stem, heading, label, write_figure
from lab.report.densities import Densities, ascii_densities, metadata_sizes
from lab.report.ecdf import Curves, ascii_ecdf, curves
from lab.report.pareto import Pareto, Point, ascii_pareto, paretos
from lab.report.sums import group_sums
from lab.report.text import arch_title, share
from lab.store.document import Run

DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
BAR = 0.155
"""Height of one bar, inches."""
HATCHES = ("", "//", "--", "xx", "\\\\")
"""Of the formats, in the order of lab.report.sizes.FORMATS, beside their colours."""
MOST_NAMED = 14
NEAR = (16.0, 9.0)
"""Points nearer than this (horizontally, vertically; in points) share one number label."""


def write_cost_figures(run: Run, folder: Path) -> list[Path]:
    """``pareto-<arch>-<compiler>-<mode>``, ``ecdf-<arch>-<compiler>`` and ``metadata-<arch>-<compiler>`` in *folder*;
    the files, in order.

    A run without costs, or with one price only, has none; neither has a mode without MISSING stops."""
    folder.mkdir(parents=True, exist_ok=True)
    found = run.result
    written: list[Path] = []
    about = f"run {run.run_id}, unwindlab {run.provenance.unwindlab}"
    for each in paretos(group_sums(found.cells, found.verdicts), found.costs):
        stem = folder / file_stem(f"pareto-{each.arch}-{each.compiler}-{each.mode}")
        written += write_figure(stem, (10.0, 5.0), partial(_pareto, each, about), ascii_pareto(each, run.run_id))
    for shown in curves(found.costs):
        stem = folder / file_stem(f"ecdf-{shown.arch}-{shown.compiler}")
        written += write_figure(stem, (10.0, 4.6), partial(_ecdf, shown, about), ascii_ecdf(shown, run.run_id))
    for sizes in metadata_sizes(found.costs):
        stem = folder / file_stem(f"metadata-{sizes.arch}-{sizes.compiler}")
        size = (8.0, 1.5 + BAR * sum(len(values) + 0.9 for _, values in sizes.rows))
        written += write_figure(stem, size, partial(_metadata, sizes, about), ascii_densities(sizes, run.run_id))
    return written


def _axis(figure: Any) -> Any:
    """One axis at the left; its names stand at the right."""
    height = figure.get_size_inches()[1]
    axis = figure.add_axes((0.075, 0.55 / height, 0.53, 1 - 1.35 / height))
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.grid(color="#DDDDDD", linewidth=0.6)
    axis.set_axisbelow(True)
    return axis


def _pareto(shown: Pareto, about: str, figure: Any) -> None:
    title = f"MISSING against cost: {arch_title(shown.arch)}, {shown.compiler}, {shown.mode} stops"
    heading(figure, title, f"one point per proposal and unwinder, lower and further left is better; {about}")
    axis = _axis(figure)
    points = [*shown.front, *shown.rest]
    low = math.floor(math.log10(min(p.missing / p.stops for p in points if p.missing)))
    none = 10.0 ** (low - 0.6)

    def at(point: Point) -> tuple[float, float]:
        return float(point.cost), point.missing / point.stops or none

    axis.set_yscale("log")
    axis.set_ylim(10.0 ** (low - 0.9), 1.3)
    axis.set_yticks(
        [none, *(10.0**n for n in range(low, 1))], ["none", *(f"{10.0 ** (n + 2):g}%" for n in range(low, 1))]
    )
    axis.set_yticks([], minor=True)
    if shown.rest:
        axis.scatter(*zip(*map(at, shown.rest), strict=True), s=14, marker="x", color="#777777", linewidths=0.9)
    axis.scatter(*zip(*map(at, shown.front), strict=True), s=30, color=COLOURS[4], edgecolors="black", linewidths=0.5)
    axis.margins(x=0.06)
    axis.set_xlabel("instructions added per executed call (exact count, emulated: no time)")
    axis.set_ylabel("MISSING, share of stops")
    _numbers(axis, [at(point) for point in shown.front[:MOST_NAMED]])
    _front_names(axis, shown)


def _numbers(axis: Any, places: Sequence[tuple[float, float]]) -> None:
    """The front's numbers beside its points; points that lie together share one label."""
    scale = 72 / axis.figure.dpi
    labels: list[tuple[tuple[float, float], list[int]]] = []
    for number, place in enumerate(places, start=1):
        x, y = scale * axis.transData.transform(place)
        for (ox, oy), numbers in labels:
            if abs(x - ox) < NEAR[0] and abs(y - oy) < NEAR[1]:
                numbers.append(number)
                break
        else:
            labels.append(((x, y), [number]))
    for _, numbers in labels:
        first = places[numbers[0] - 1]
        right = max(places[number - 1][0] for number in numbers)
        axis.annotate(",".join(map(str, numbers)), (right, first[1]), xytext=(5, 3), textcoords="offset points",
                      fontsize=7.5)  # fmt: skip


def _front_names(axis: Any, shown: Pareto) -> None:
    lines = ["no pair is better in cost, MISSING and exact than:"]
    for number, point in enumerate(shown.front[:MOST_NAMED], start=1):
        exact = share(point.exact, point.stops)
        lines.append(f"{number:>2}  {label(f'{point.proposal} / {point.unwinder}', 44)}, exact {exact}")
    if (more := len(shown.front) - MOST_NAMED) > 0:
        lines.append(f"{more} more: the figure's text has them")
    if shown.rest:
        lines.append(f"x  {len(shown.rest)} pairs that one of these beats")
    _beside(axis, lines)


def _beside(axis: Any, lines: Sequence[str]) -> None:
    for number, line in enumerate(lines):
        axis.text(1.03, 0.98 - 0.055 * number, line, fontsize=7, va="center", transform=axis.transAxes)


def _ecdf(shown: Curves, about: str, figure: Any) -> None:
    title = f"What a function entry costs: {arch_title(shown.arch)}, {shown.compiler}"
    heading(figure, title, f"share of executed entries that cost so many instructions at most; {about}")
    axis = _axis(figure)
    most = max((float(curve.steps[-1][0]) for curve in shown.curves if curve.steps), default=0.0)
    least = min((float(curve.steps[0][0]) for curve in shown.curves if curve.steps), default=0.0)
    for index, curve in enumerate(shown.curves):
        done, xs, ys = 0, [least - 1], [0.0]
        for added, times in curve.steps:
            done += times
            xs.append(float(added))
            ys.append(done / curve.entries)
        style = {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)], "linewidth": 1.6}
        axis.step([*xs, most + 1], [*ys, 1.0], where="post", label=label(curve.proposal, 48), **style)
    axis.set_xlim(least - 1, most + 1)
    axis.set_ylim(0, 1.02)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    axis.set_xlabel("instructions added per function entry (each entry at its function's mean)")
    axis.set_ylabel("share of executed entries")
    axis.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize=7.5, handlelength=3.5)
    if shown.dropped:
        axis.text(1.03, 0.02, f"{len(shown.dropped)} more in the table", fontsize=7, color=GREY,
                  transform=axis.transAxes)  # fmt: skip


def _metadata(shown: Densities, about: str, figure: Any) -> None:
    """Bars, one per format, each with its name and figure."""
    wide, high = figure.get_size_inches()
    title = f"Unwind metadata by format: {arch_title(shown.arch)}, {shown.compiler}"
    heading(
        figure,
        title,
        f"bytes per KiB of code; dwarf: .eh_frame and its header, others converted from it, with losses; {about}",
    )
    axis = figure.add_axes((1.75 / wide, 0.5 / high, 1 - 2.5 / wide, 1 - 1.35 / high))
    most = max((float(v) for _, values in shown.rows for v in values.values() if v is not None), default=1.0)
    y, ticks = 0.0, []
    for proposal, values in shown.rows:
        ticks.append((y + len(values) / 2, label(proposal, 26)))
        for i, (name, value) in enumerate(values.items()):
            size = 0.0 if value is None else float(value)
            axis.barh(y + i + 0.5, size, height=0.86, color=COLOURS[1 + i], hatch=HATCHES[i], edgecolor="black",
                      linewidth=0.4)  # fmt: skip
            told = "n/a" if value is None else f"{size:.1f}"
            axis.annotate(f"{told}  {name}", (size, y + i + 0.5), xytext=(3, 0), textcoords="offset points",
                          va="center", fontsize=6.5)  # fmt: skip
        y += len(values) + 0.9
    axis.set_ylim(y - 0.6, -0.3)
    axis.set_xlim(0, 1.16 * most)
    axis.set_yticks([tick for tick, _ in ticks], [name for _, name in ticks])
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    if shown.dropped:
        figure.text(0.012, 0.12 / high, f"{len(shown.dropped)} more in the text", fontsize=7, color=GREY)
