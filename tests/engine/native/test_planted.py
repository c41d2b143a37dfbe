"""Each safeguard of memoisation, taken out: some guest must show it, or the tests above would pass without it."""

from __future__ import annotations

import pytest

from lab.arch import arch_by_name
from lab.bench.subjects import PROPOSALS, make_subject
from lab.engine.plan import Execution
from lab.errors import LabError
from lab.machine.machine import Limits, Machine
from lab.registry import unwinder
from lab.unwind.api import Unwinder
from tests.engine.native.agreement import BOTH, Case, case, difference
from tests.engine.native.designs import DESIGNS
from tests.engine.native.planted import FAULTS, plant
from tests.engine.native.test_recall import ODD
from tests.engine.shadow_smashing import CASES, arm, shadow_program
from tests.engine.smashing import catalogue, random_program

#: Fault -> guests that show it ("arch name": a bench or random program), the unwinder that is wrong, the modes.
SHOWN = {
    "stores": (("aarch64-chain", "x86_64-final", "x86_64-jit"), "fp", BOTH),
    "exception": (("aarch64-c-blocks", "x86_64-stack-moves"), "below", BOTH),
    "first-step": (("aarch64-self-modifying", "x86_64-chain"), "fp", BOTH),
    "returns": (("aarch64-stale-frames", "x86_64-stale-frames"), "fp", ("call",)),
    "span": (("aarch64-pac-parallel-record", "x86_64-xray-memory-check"), "scs-lr", BOTH),
    "slots": (("aarch64-store-straddle", "x86_64-store-straddle"), "fp", BOTH),
    "overlay": (("aarch64-over", "x86_64-over"), "fp", BOTH),
    "pc": (("aarch64-tail-calls", "x86_64-longjmp"), "pc-itself", BOTH),
    "registers": (("aarch64-clobber", "x86_64-clobber"), "fp", BOTH),
    "features": (("aarch64-sweep", "x86_64-over"), "fp", BOTH),
    "landing": (("aarch64-recursion", "x86_64-same-return-address"), "fp", BOTH),
    "row": (("aarch64-c-scalars", "aarch64-c-alloca"), "fp", BOTH),
    "recall-stores": (("aarch64-chain", "x86_64-store-narrow"), "fp", BOTH),
    "recall-marks": (("aarch64 calls", "x86_64 recursion"), "far", BOTH),
    "recall-first-step": (("aarch64-store-narrow", "aarch64-store-straddle"), "fp", BOTH),
    "recall-untold": (("aarch64 random", "x86_64 random"), "wide", BOTH),
    "recall-calls": (("aarch64 calls", "x86_64 recursion"), "far", BOTH),
    "recall-epoch": (("aarch64-zeroing", "x86_64-store-atomics"), "fp", BOTH),
    "recall-elsewhere": (("aarch64-pac-parallel-record", "x86_64-xray-parallel-record"), "scs", BOTH),
    "recall-shadow": (("aarch64-pac-register-record", "aarch64-xray-register-record"), "scs", BOTH),
    "recall-beyond": (("x86_64 calls",), "dead-entries", BOTH),
    "recall-below": (("aarch64 calls", "x86_64 calls"), "under-calls", BOTH),
}


def chosen(name: str) -> Unwinder:
    return next((design for design in (*DESIGNS, *ODD) if design.name == name), None) or unwinder(name)


def guest(title: str, judge: Unwinder, modes: tuple[str, ...]) -> Case:
    limits = Limits(20_000, 120)
    judges = (judge, unwinder("oracle"))  # of two, stops are recalled
    if " " in title:
        arch, workload = title.split()
        if workload == "random":
            return case(random_program(arch, 0), judges, modes, limits=limits, stacks=0)
        subject = make_subject(workload, arch_by_name(arch), PROPOSALS[arch])
        return case(subject.image, judges, modes, rewrite=subject.rewrite, limits=limits, stacks=0)
    program = next((p for p in catalogue() if p.title == title), None)
    if program is not None:
        return case(program.make(), judges, modes, limits=limits, stacks=0)
    image, rewrite = shadow_program(next(c for c in CASES if c.title == title))

    def prepare(machine: Machine) -> None:
        arm(machine, rewrite)

    return case(image, judges, modes, rewrite=rewrite, limits=limits, stacks=0, prepare=prepare)


def said(this: Case, expected: Execution) -> str:
    """What makes memo differ from *expected*, or the error that a faulty engine ends with."""
    try:
        return difference(this, expected, this.native())
    except LabError as error:
        return str(error)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_shows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    titles, judge, modes = SHOWN[name]
    guests = {title: guest(title, chosen(judge), modes) for title in titles}
    right = {title: this.native(memo=False) for title, this in guests.items()}
    assert not [title for title, this in guests.items() if said(this, right[title])]
    plant(name, monkeypatch)
    for title, this in guests.items():
        assert said(this, right[title]), f"{title} does not show the fault '{name}'"


@pytest.mark.parametrize("name", ["stores", "features", "span"])
def test_without_memo_nothing_rests_on_a_safeguard(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Walks, judgements and features are all made anew at every stop, so that no fault in what forgets can show."""
    titles, judge, modes = SHOWN[name]
    guests = {title: guest(title, chosen(judge), modes) for title in titles if "jit" not in title}
    plant(name, monkeypatch)
    for title, this in guests.items():
        wrong = difference(this, this.reference(), this.native(memo=False))
        assert not wrong, f"{title}: {wrong}"
