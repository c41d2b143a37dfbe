"""``python -m tests.bench.explorer_page``: how long a browser takes to open a big report.html.

The page is made up: as many instructions and unwinders as asked for, of which some are wrong everywhere.  What is timed
is a reader's wait, from the request to the moment the page takes clicks, in Debian's chromium, from a file.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.experiment import Experiment
from lab.report.html.page import explorer
from lab.store import CodeRow, Run, RunResult, VerdictRow, make_run
from tests.fake_run import PROVENANCE, cell_from, images, stack_of

KEY: dict[str, Any] = {"arch": "aarch64", "compiler": "clang", "workload": "kernel", "proposal": "base"}
BASE = 0xFFFF_8000_0800_0000
PER_FUNCTION, KEPT = 40, 8
TEXTS = ("ldr x0, [sp, #{}]", "str x{}, [x1]", "add x{}, x2, #3", "bl #0x4{:05x}", "mov x{}, x0", "cbz x{}, #0x40")


def big_run(instructions: int, unwinders: int) -> Run:
    """One image with so many instructions, judged under so many unwinders."""
    names = [f"design-{number}" for number in range(unwinders)]
    experiment = Experiment(arches=["aarch64"], proposals=["base"], unwinders=names, workloads=["kernel"],
                            modes=["boundary"])  # fmt: skip
    rows = [[_verdict(name, which, i) for i in range(instructions)] for which, name in enumerate(names)]
    stacks = [stack_of(row) for own in rows for row in [row for row in own if row.verdict == "missing"][:KEPT]]
    found = RunResult(
        experiment, [cell_from(own) for own in rows], [row for own in rows for row in own], stacks, [],
        images(experiment), [{"name": "clang", "version": "made up"}], [], [_code(i) for i in range(instructions)],
    )  # fmt: skip
    return make_run(found, PROVENANCE)


def _verdict(name: str, which: int, i: int) -> VerdictRow:
    dice = ((i * 2654435761 * (which + 3)) >> 7) % 10_000
    verdict = "missing" if dice < 40 * (which + 1) else "refused" if dice < 60 * (which + 1) else "exact"
    function = f"function_{i // PER_FUNCTION}_of_kernel"
    refused = verdict == "refused"
    return VerdictRow(
        **KEY, unwinder=name, mode="boundary", pc=BASE + 4 * i, location=f"{function}+{4 * (i % PER_FUNCTION):#x}",
        function=function, region="original", verdict=verdict, reason="no_row" if refused else "",
        doubt="needless" if refused else "", covers=verdict == "exact", stops=1 + (i * i * 7919 >> 3) % 3000,
        offset_class="body", insn_class="other", lr_live=False, sp_delta=0, record_complete=True, shadow_pushed=None,
        row_kind="none", fp_matches_row=None,
    )  # fmt: skip


def _code(i: int) -> CodeRow:
    raw = hashlib.sha256(str(i).encode()).hexdigest()[:8]
    text = TEXTS[i % len(TEXTS)].format(int(raw, 16) % (1 << (20 if i % len(TEXTS) == 3 else 5)))
    return CodeRow(**KEY, pc=BASE + 4 * i, raw=raw, text=text, source=f"file_{i // PER_FUNCTION % 300}.c:{i % 1000}")


def opened(page: Path, times: int) -> list[float]:
    """Seconds until *page* takes clicks, each time in a new tab; none without chromium and playwright."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return []
    if chromium is None:
        return []
    took = []
    with tempfile.TemporaryDirectory(prefix="unwindlab-chromium-") as home, sync_playwright() as driver:
        environment: dict[str, str | float | bool] = {**os.environ, "HOME": home}
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = driver.chromium.launch(executable_path=chromium, args=arguments, env=environment)
        for _ in range(times):
            tab = browser.new_page(viewport={"width": 1500, "height": 900})
            start = time.monotonic()
            tab.goto(page.as_uri())
            tab.wait_for_selector("body[data-ready]")
            took.append(time.monotonic() - start)
            tab.close()
        browser.close()
    return took


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the page, open it, say how long that took."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.explorer_page", description=__doc__)
    parser.add_argument("--instructions", type=int, default=200_000)
    parser.add_argument("--unwinders", type=int, default=8)
    parser.add_argument("--times", type=int, default=5)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="unwindlab-page-") as folder:
        page = Path(folder) / "report.html"
        page.write_bytes(explorer(big_run(asked.instructions, asked.unwinders)))
        print(f"{asked.instructions:,} instructions x {asked.unwinders} unwinders: {page.stat().st_size:,} bytes")
        took = opened(page, asked.times)
    if not took:
        print("not opened: chromium or the Python package playwright is not installed", file=sys.stderr)
        return 0
    print(f"opens in {statistics.median(took):.2f} s (median of {len(took)}, slowest {max(took):.2f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
