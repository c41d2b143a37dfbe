"""Pareto and ECDF figures as SVG, PNG and ASCII; the same bytes from run to run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from lab.report.ecdf import Curves, ascii_ecdf, curves
from lab.report.figures import _quiet_matplotlib
from lab.report.pareto import Pareto, Point, ascii_pareto, paretos
from lab.report.sums import group_sums
from lab.report.text import arch_title, clean
from lab.store.document import Run

COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#999999")
"""Okabe and Ito's, and grey; dashes and letters say the same without colour."""
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
NONE_AT = 0.4
"""Where on the log axis a share of nothing stands, as a part of the least share there is."""
MOST_NAMED = 12


def write_cost_figures(run: Run, folder: Path) -> list[Path]:
    """``pareto-<arch>-<compiler>-<mode>`` and ``ecdf-<arch>-<compiler>`` in *folder*; the files, in order.

    A run without costs, or with one price only, has none."""
    folder.mkdir(parents=True, exist_ok=True)
    found = run.result
    written: list[Path] = []
    for each in paretos(group_sums(found.cells, found.verdicts), found.costs):
        stem = _stem(f"pareto-{each.arch}-{each.compiler}-{each.mode}")
        written += _write(folder / stem, partial(_pareto, each), ascii_pareto(each, run.run_id))
    for shown in curves(found.costs):
        stem = _stem(f"ecdf-{shown.arch}-{shown.compiler}")
        written += _write(folder / stem, partial(_ecdf, shown), ascii_ecdf(shown, run.run_id))
    return written


def _stem(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)


def _write(stem: Path, draw: Callable[[Any], None], text: str) -> list[Path]:
    _quiet_matplotlib()
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fixed = {"svg.hashsalt": "unwindlab", "svg.fonttype": "path", "font.family": ["DejaVu Sans"], "font.size": 8.0}
    defaults = {key: value for key, value in mpl.rcParamsDefault.items() if not key.startswith("backend")}
    svg, png, twin = (stem.with_suffix(end) for end in (".svg", ".png", ".txt"))
    with mpl.rc_context(defaults | fixed):
        figure = Figure(figsize=(8.0, 5.0), layout=None)
        FigureCanvasAgg(figure)
        axis = figure.add_axes((0.11, 0.11, 0.56, 0.8))
        draw(axis)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        axis.grid(color="#DDDDDD", linewidth=0.6)
        axis.set_axisbelow(True)
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
        figure.savefig(png, dpi=150, metadata={"Software": None})
    twin.write_text(text, encoding="ascii")
    return [svg, png, twin]


def _pareto(shown: Pareto, axis: Any) -> None:
    points = [*shown.front, *shown.rest]
    least = min((p.missing / p.stops for p in points if p.missing), default=1.0)
    floor = least * NONE_AT

    def at(point: Point) -> tuple[float, float]:
        return float(point.cost), point.missing / point.stops or floor

    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
    axis.yaxis.set_minor_formatter(lambda _value, _: "")
    if shown.rest:
        axis.scatter(*zip(*map(at, shown.rest), strict=True), s=12, marker="x", color="#999999", linewidths=0.8)
    axis.scatter(*zip(*map(at, shown.front), strict=True), s=30, color="#0072B2", edgecolors="black", linewidths=0.5)
    marks: dict[tuple[float, float], list[str]] = {}
    for number, point in enumerate(shown.front[:MOST_NAMED], start=1):
        marks.setdefault(at(point), []).append(str(number))
        axis.text(1.03, 1.0 - 0.075 * number, f"{number}  {_label(point)}", fontsize=7, transform=axis.transAxes)
    for place, numbers in marks.items():
        axis.annotate(",".join(numbers), place, xytext=(4, 4), textcoords="offset points", fontsize=7.5)
    axis.text(1.03, 1.0, "not beaten in cost, MISSING and exact:", fontsize=7.5, transform=axis.transAxes)
    if (more := len(shown.front) - MOST_NAMED) > 0:
        axis.text(
            1.03, 1.0 - 0.075 * (MOST_NAMED + 1), f"{more} more in the table", fontsize=7, transform=axis.transAxes
        )
    axis.axhline(floor, color="#999999", linewidth=0.6, linestyle=":")
    axis.text(1.0, floor, "none", fontsize=7, ha="right", va="bottom", transform=axis.get_yaxis_transform())
    axis.set_xlabel("instructions added per executed call")
    axis.set_ylabel("MISSING, share of stops")
    axis.set_title(f"Accuracy against cost: {arch_title(shown.arch)}, {shown.compiler}, {shown.mode} stops", loc="left")


def _label(point: Point) -> str:
    text = clean(f"{point.proposal} / {point.unwinder}").replace("$", r"\$")
    return text if len(text) <= 44 else f"{text[:41]}..."


def _ecdf(shown: Curves, axis: Any) -> None:
    most = max((float(curve.steps[-1][0]) for curve in shown.curves if curve.steps), default=0.0)
    least = min((float(curve.steps[0][0]) for curve in shown.curves if curve.steps), default=0.0)
    for index, curve in enumerate(shown.curves):
        done, xs, ys = 0, [least - 1], [0.0]
        for added, times in curve.steps:
            done += times
            xs.append(float(added))
            ys.append(done / curve.entries)
        style = {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)], "linewidth": 1.6}
        name = clean(curve.proposal).replace("$", r"\$")
        axis.step([*xs, most + 1], [*ys, 1.0], where="post", label=name, **style)
    axis.set_xlim(least - 1, most + 1)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("instructions added per function entry")
    axis.set_ylabel("share of executed entries")
    axis.set_title(f"What an entry costs: {arch_title(shown.arch)}, {shown.compiler}", loc="left")
    axis.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize=7.5)
