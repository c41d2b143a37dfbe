"""DWARF in rewritten code: what a rewriter puts in must not cost the program its unwind information."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.engine.plan import Plan
from lab.engine.run import execute as execute_natively
from lab.errors import EngineError
from lab.images.toolchain import compiler_names
from lab.images.workloads import all_workloads
from lab.job import Job, prepare
from lab.layout import Flavour, Policy
from lab.machine.machine import Limits
from lab.registry import all_proposals, unwinder
from rewriters.unwind.spans import States
from tests.rewriters.verify.planting import make

PROPOSALS = ("xray-memory-use", "xray-parallel-check", "detour-memory-check", "insertion-memory-use")
ENTRY = "unwindlab_start"  # sets the pointer up, before the program: nobody to return to, and no row
JUMPS = (b"\xeb", b"\xe9")


def job(arch: str, proposal: str, workload: str) -> Job:
    return Job(arch, compiler_names()[0], workload, proposal, (), (), "small", Limits(), 0)


@pytest.mark.parametrize("proposal", PROPOSALS)
@pytest.mark.parametrize("workload", ["tree", "early"])
def test_it_is_exact_at_every_instruction_of_a_rewritten_program(workload: str, proposal: str) -> None:
    """On x86-64 sequences push, over slots of registers that clang's rows still name."""
    chosen = next(p for p in all_proposals() if p.name == proposal)
    subject = next(w for w in all_workloads() if w.name == workload)
    ready = prepare(job("x86_64", proposal, workload), chosen, subject)
    plan = Plan((unwinder("dwarf"), unwinder("orc")), ("boundary", "call"), Limits(), 0)
    done = execute_natively(ready.image, ready.rewrite, plan)
    places = {t.pc for t in done.tallies if t.judgement.verdict.value != "exact"}
    left = {pc for pc in places if not ready.image.locate(pc).startswith(ENTRY)}
    if proposal.startswith("xray"):  # the jump of a tail call stays behind its sled, with the row it had
        left = {pc for pc in left if ready.image.read(pc, 1) not in JUMPS}
    assert {ready.image.locate(pc) for pc in left} == set()
    assert sum(tally.stops for tally in done.tallies) > 1000


@pytest.mark.parametrize("mode", ["detour", "insertion"])
def test_rows_that_name_overwritten_slots_are_found(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the check of the finished image, which does not know how its rows were made."""
    chosen = next(p for p in all_proposals() if p.name == mode + "-memory-use")
    subject = next(w for w in all_workloads() if w.name == "tree")
    plain = next(p for p in all_proposals() if p.name == "base")
    image = prepare(job("x86_64", "base", "tree"), replace(plain, flags=chosen.flags), subject).image
    assert make(image, mode, Flavour.MEMORY, Policy.USE).failed() == set()
    monkeypatch.setattr(States, "_without_dead_slots", lambda _self, state: state)
    with pytest.raises(EngineError, match="unwind information follows the code"):
        make(image, mode, Flavour.MEMORY, Policy.USE)
