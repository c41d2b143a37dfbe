"""``make reference``: run the demo's experiment and keep it in results/reference/, which git tracks.  README.md then
shows its tables and its picture.

The content depends on the counts alone, but for the provenance in run.json: times are set to zero.  PNGs are left
out, because a zlib of another version writes other bytes for the same picture; a page's data is compared unpacked.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

from lab import registry, runner, store
from lab.commands.common import render
from lab.commands.demo import DEMO
from lab.experiment import read_experiment
from lab.report.html.page import unpacked
from lab.store import Run
from tests.console import ROOT
from tests.refresh_readme import refresh_reference

REFERENCE = ROOT / "results" / "reference"
ARGV = ("demo",)
MOST_BYTES = 5_000_000


def main() -> int:
    """Make it anew; what was there goes once the new run is written."""
    run = make()
    stored = store.write_run(run, REFERENCE, render_small)
    for old in REFERENCE.iterdir():
        if old.is_dir() and old != stored.path:
            shutil.rmtree(old)
    size = folder_size(stored.path)
    print(f"wrote {stored.path.relative_to(ROOT)} ({size} bytes)")
    refresh_reference()
    for warning in stored.warnings:
        print(warning, file=sys.stderr)
    if size > MOST_BYTES:
        print(f"this is more than {MOST_BYTES} bytes: too large for git", file=sys.stderr)
        return 1
    return 0


def make() -> Run:
    """The demo's run as it is kept."""
    provenance = store.here(ARGV)
    return timeless(store.make_run(runner.run(read_experiment(DEMO, {}, registry.names())), provenance))


def timeless(run: Run) -> Run:
    """*run* with every time set to zero: time is no count, and differs from run to run."""
    cells = [dataclasses.replace(cell, wall_s=0.0) for cell in run.result.cells]
    return dataclasses.replace(run, result=dataclasses.replace(run.result, cells=cells))


def render_small(run: Run, folder: Path) -> None:
    """The reports, without PNGs."""
    render(run, folder)
    for picture in (folder / "fig").glob("*.png"):
        picture.unlink()


def content(path: Path) -> bytes:
    """What must be the same each time: a file's bytes, those of a page with its data unpacked."""
    return unpacked(path.read_bytes()) if path.suffix == ".html" else path.read_bytes()


def folder_size(folder: Path) -> int:
    """Bytes of all files below *folder*."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
