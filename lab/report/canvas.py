"""A figure as SVG and PNG with its ASCII twin: the same bytes from run to run, whatever a matplotlibrc says."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.report.text import clean

COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#999999")
"""Okabe and Ito's, and grey.  No figure tells things apart by colour alone: hatches, dashes or letters say the same."""
GREY = "#444444"
_FIXED = {
    "svg.hashsalt": "unwindlab", "svg.fonttype": "path", "font.family": ["DejaVu Sans"], "font.size": 8.0,
    "hatch.linewidth": 0.6,
}  # fmt: skip


def write_figure(stem: Path, size: tuple[float, float], paint: Callable[[Any], None], twin: str) -> list[Path]:
    """Write ``stem.{svg,png,txt}``: *paint* draws on a figure of *size* (inches), *twin* is the text; the files."""
    _quiet_matplotlib()
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    defaults = {key: value for key, value in mpl.rcParamsDefault.items() if not key.startswith("backend")}
    svg, png, text = (stem.with_name(stem.name + end) for end in (".svg", ".png", ".txt"))
    with mpl.rc_context(defaults | _FIXED):
        figure = Figure(figsize=size, layout=None)
        FigureCanvasAgg(figure)
        paint(figure)
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
        figure.savefig(png, dpi=150, metadata={"Software": None})
    text.write_text(twin, encoding="ascii")
    return [svg, png, text]


def _quiet_matplotlib() -> None:
    """No font-cache messages on stderr, and a place for that cache where the home folder cannot be written."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    if "MPLCONFIGDIR" not in os.environ and not os.access(Path.home(), os.W_OK):
        os.environ["MPLCONFIGDIR"] = str(Path(tempfile.gettempdir()) / "unwindlab-matplotlib")


def file_stem(name: str) -> str:
    """*name* as the beginning of a file's name: names of a run may hold anything."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)


def label(text: str, most: int) -> str:
    """*text* as a label of at most *most* characters that matplotlib does not take for mathematics.

    Names of a family differ at their ends, so it is the middle that is left out."""
    plain = clean(text)
    if len(plain) > most:
        head = (most - 3) // 2
        plain = f"{plain[:head]}...{plain[head + 3 - most :]}"
    return plain.replace("$", r"\$")


def heading(figure: Any, title: str, about: str) -> None:
    """Title and subtitle at the top left."""
    height = figure.get_size_inches()[1]
    figure.text(0.012, 1 - 0.26 / height, title, fontsize=11, fontweight="bold", va="center")
    figure.text(0.012, 1 - 0.50 / height, about, fontsize=8, va="center", color=GREY)
