"""``make reference``: run the demo's experiment and keep it in results/reference/, which git tracks.

The content depends on the counts alone, but for the provenance in run.json: times are set to zero.  PNGs are left
out, because a zlib of another version writes other bytes for the same picture.
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
from lab.store import Run
from tests.console import ROOT

REFERENCE = ROOT / "results" / "reference"
ARGV = ("demo",)
MOST_BYTES = 1_500_000


def main() -> int:
    """Make it anew; what was there goes once the new run is written."""
    run = make()
    stored = store.write_run(run, REFERENCE, render_small)
    for old in REFERENCE.iterdir():
        if old.is_dir() and old != stored.path:
            shutil.rmtree(old)
    size = folder_size(stored.path)
    print(f"wrote {stored.path.relative_to(ROOT)} ({size} bytes)")
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


def folder_size(folder: Path) -> int:
    """Bytes of all files below *folder*."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
