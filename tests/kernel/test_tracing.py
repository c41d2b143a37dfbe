"""Function tracing in the small kernel: both engines say the same of it, look-ups in the return stack match frames."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from lab.arch import arch_by_name
from lab.errors import InputError
from lab.images.build import build
from lab.images.image import Image, load_image
from lab.images.workloads import workload_by_name
from lab.machine.machine import Limits
from lab.registry import unwinder
from lab.unwind.api import CALL, FRAME, Reason
from lab.unwind.rules import graph
from tests.engine.native.agreement import assert_agree, case
from tests.support import ARCH_NAMES

DESIGNS = {
    "aarch64": ("oracle", "fp+graph+kretprobe", "fp-reliable+graph+kretprobe", "dwarf"),
    "x86_64": ("oracle", "fp+graph+kretprobe", "orc+graph+kretprobe", "dwarf"),
}
LIMITS = Limits(100_000, 120.0)


def image(arch: str, workload: str, runtime: str = "") -> Image:
    return load_image(build(workload_by_name(workload), arch_by_name(arch), runtime=runtime))


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize(
    ("workload", "modes"),
    [
        ("ftracesite", ("boundary", "inject", "blocked")),
        ("fgraph", ("call", "blocked")),
        ("kretprobe", ("call",)),
        ("alternative", ("boundary", "call")),
        ("jitted", ("boundary", "call")),
    ],
)
def test_both_engines_agree_where_text_and_return_addresses_change(
    arch: str, workload: str, modes: tuple[str, ...]
) -> None:
    said = assert_agree(
        case(image(arch, workload), [unwinder(name) for name in DESIGNS[arch]], modes, limits=LIMITS, stacks=2)
    )
    of_the_oracle = Counter(t.judgement.verdict.value for t in said.tallies if t.unwinder == 0)
    assert set(of_the_oracle) == {"exact"}, "an address replaced in memory has its caller for truth"


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_sites_are_at_the_entries_of_traced_functions(arch: str) -> None:
    """Calls are made directly behind the entries of the functions that were traced, and only there."""
    built = image(arch, "ftracesite")
    said = case(built, [unwinder("oracle")], ("call",), limits=LIMITS).native()
    entries = {f.start: f.name for f in built.functions if f.name in {"leaf", "outer"}}
    after = {"aarch64": 8, "x86_64": 5}[arch]
    sites = Counter(entries[t.pc - after] for t in said.tallies if t.mode == CALL and t.pc - after in entries)
    assert set(sites) == {"leaf", "outer"}


class Fake:
    """The trace of a task: three entries, two of one frame; two instances."""

    task_trace, return_to_handler, kretprobe_trampoline = 0x1000, 0x40, 0x80

    def __init__(self, metadata_offset: int) -> None:
        self.metadata_offset = metadata_offset
        self.words = {0x1000: 3, 0x1008: 0x2000}
        for index, (ret, frame) in enumerate([(0x10, 0xF1), (0x20, 0xF2), (0x40, 0xF2)]):
            at = 0x1010 + 24 * index
            self.words |= {at: ret, at + 8: 0, at + 16: frame}
        self.words |= {0x2000: 0x2018, 0x2008: 0x30, 0x2010: 0xF3, 0x2018: 0, 0x2020: 0x50, 0x2028: 0xF4}

    def load(self, address: int) -> int:
        return self.words[address]


def test_the_newest_entry_of_the_frame_is_taken_and_those_above_it_are_done_with() -> None:
    mem: Any = Fake(0)
    arm: Any = Fake(296)
    assert graph.graph(mem, (0,), 0x44, 0xF2) == (FRAME, 0x44, (0,)), "only the entry address is replaced"
    assert graph.graph(mem, (0,), 0x40, 0xF2) == (FRAME, 0x20, (2,)), "a tail call's entry names the handler"
    assert graph.graph(mem, (2,), 0x40, 0xF1) == (FRAME, 0x10, (1,))
    assert graph.graph(mem, (2,), 0x40, 0xF2) == (FRAME, 0x40, (2,)), "x86-64 keeps what it does not find"
    assert graph.graph(arm, (2,), 0x40, 0xF2)[0] == Reason.NOT_RECORDED
    assert graph.kretprobe(mem, (0,), 0x80, 0xF4) == (FRAME, 0x50, (0x2018,))
    assert graph.kretprobe(mem, (0x2018,), 0x80, 0xF3)[0] == Reason.NOT_RECORDED


def test_an_unwinder_that_does_not_say_where_its_frames_are_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"^guess\+graph: guess does not say of which frame an address is"):
        unwinder("guess+graph")


def test_the_x86_reliable_walk_ends_well_at_a_tasks_outermost_frame() -> None:
    """It links to the task's own pt_regs (is_last_task_frame), which is no exception's."""
    said = case(image("x86_64", "ftracesite"), [unwinder("fp-x86-reliable")], ("call",), limits=LIMITS).reference()
    found = Counter(t.judgement.verdict.value for t in said.tallies for _ in range(t.stops))
    assert found["exact"] > found["refused"]
