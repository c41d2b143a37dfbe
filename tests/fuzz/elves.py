"""The fuzz run: ``python -m tests.fuzz.elves --count 10000 --seed 1``.

Each case is a damaged ELF file that is rewritten, or a damaged rewrite map that is read.  It must end, within five
seconds, in a verified output or in one line with exit code 2, and leave no other file.  Exits with 1 if one does not;
such a case's files stay in the folder given with --keep, and ``--only SEED/INDEX`` repeats it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lab.workers import cores, spread
from rewriters import REWRITERS
from tests.fuzz.bases import Base, corpus_bases, given_bases, guest_bases, restricted
from tests.fuzz.cases import SLOW, Ending, Tally, run_case

_BATCH = 25


@dataclass(frozen=True)
class Batch:
    """Cases [start, stop), to be run by one process in a folder of its own."""

    bases: tuple[Base, ...]
    seed: int
    start: int
    stop: int
    folder: Path

    @property
    def title(self) -> str:
        return f"cases {self.start} to {self.stop - 1} of seed {self.seed}"


def run_batch(batch: Batch) -> Tally:
    """All cases of *batch*."""
    tally = Tally()
    home = batch.folder / f"{batch.start}"
    home.mkdir(parents=True)
    for index in range(batch.start, batch.stop):
        folder = home / f"case-{batch.seed}-{index}"
        folder.mkdir()
        ending = run_case(batch.bases, batch.seed, index, folder)
        tally.add(ending)
        if not ending.fault:
            folder.rmdir()
    return tally


def fuzz(bases: list[Base], seed: int, count: int, folder: Path, workers: int = 0, *, say: bool = False) -> Tally:
    """*count* cases over the machine's cores."""
    batches = [
        Batch(tuple(bases), seed, start, min(start + _BATCH, count), folder) for start in range(0, count, _BATCH)
    ]
    whole, began = Tally(), time.monotonic()
    for done, (_, tally) in enumerate(spread(run_batch, batches, lambda batch: batch.title, workers), start=1):
        whole.kinds += tally.kinds
        whole.reasons += tally.reasons
        whole.faults += tally.faults
        whole.slow += tally.slow
        whole.unproved += tally.unproved
        whole.seconds += tally.seconds
        if say:
            for ending in tally.faults:
                print(_line(seed, ending), flush=True)
            if done % 10 == 0:
                cases = sum(whole.kinds.values())
                print(f"{cases}/{count} cases, {cases / (time.monotonic() - began):.1f} a second", file=sys.stderr)
    return whole


def _line(seed: int, ending: Ending) -> str:
    return f"FAULT {seed}/{ending.index} ({ending.base}; {ending.what}; {ending.seconds:.1f} s): {ending.fault}"


def _report(tally: Tally, seed: int, took: float) -> None:
    cases = sum(tally.kinds.values())
    print(f"{cases} cases in {took:.0f} s ({cases / took:.1f} a second): {_counts(tally.kinds)}")
    print(f"{len(tally.reasons)} different reasons, the commonest:")
    for text, count in tally.reasons.most_common(25):
        print(f"  {count:5}  {text}")
    for ending in sorted(tally.slow, key=lambda ending: -ending.seconds)[:20]:
        print(f"SLOW {seed}/{ending.index} ({ending.base}; {ending.what}): {ending.seconds:.1f} s, {ending.kind}")
    for ending in tally.unproved:
        print(f"UNPROVED {seed}/{ending.index} ({ending.base}; {ending.what}): {ending.text}")
    print(f"{len(tally.faults)} faults, {len(tally.unproved)} unproved, {len(tally.slow)} slower than {SLOW:g} s")


def _counts(kinds: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.elves", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="cases (default: 10000)")
    parser.add_argument("--seed", type=int, default=1, help="of everything random (default: 1)")
    parser.add_argument("--only", metavar="SEED/INDEX", help="repeat one case")
    parser.add_argument("--images", type=Path, nargs="*", default=[], metavar="PATH", help="more images, or folders")
    parser.add_argument("--modes", nargs="*", default=list(REWRITERS), choices=REWRITERS, help="default: all")
    parser.add_argument("--small", action="store_true", help="only the guests of the tests")
    parser.add_argument("--jobs", type=int, default=0, help="processes (default: one per core)")
    parser.add_argument("--keep", type=Path, help="where the files of faulty cases stay")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="unwindlab-fuzz-") as scratch:
        bases = guest_bases(Path(scratch, "bases"))
        bases += [] if asked.small else [*corpus_bases(), *given_bases(asked.images)]
        bases = restricted(bases, asked.modes)
        work = Path(tempfile.mkdtemp(dir=asked.keep)) if asked.keep else Path(scratch, "work")
        if asked.only:
            seed, index = map(int, asked.only.split("/"))
            tally = run_batch(Batch(tuple(bases), seed, index, index + 1, work))
            for ending in tally.faults:
                print(_line(seed, ending))
            _report(tally, seed, tally.seconds or 1)
        else:
            print(f"{len(bases)} images, {asked.count} cases, seed {asked.seed}, {asked.jobs or cores()} processes")
            began = time.monotonic()
            tally = fuzz(bases, asked.seed, asked.count, work, asked.jobs, say=True)
            _report(tally, asked.seed, time.monotonic() - began)
    return int(bool(tally.faults or tally.slow))


if __name__ == "__main__":
    sys.exit(main())
