"""Every workload under some proposal: the native engine says what the reference engine says.

Proposals go round, so that each workload, proposal, architecture, mode and unwinder occurs.  ``UNWINDLAB_ALL=1`` in
the environment runs every workload under every proposal.
"""

from __future__ import annotations

import os
from functools import cache
from itertools import cycle

import pytest

from lab.errors import RefusedError
from lab.images.toolchain import compiler_names
from lab.images.workloads import all_workloads
from lab.job import Job, prepare, unsupported
from lab.machine.machine import Limits
from lab.registry import all_proposals, all_unwinders
from tests.engine.native.agreement import assert_agree, case, in_turn
from tests.support import ARCH_NAMES

COMPILER = compiler_names()[0]
ALL = os.environ.get("UNWINDLAB_ALL") == "1"


@cache
def pairs() -> list[tuple[str, str, str]]:
    """(architecture, workload, proposal)."""
    found = []
    for arch in ARCH_NAMES:
        proposals = [
            p.name for p in all_proposals() if arch in p.arches and p.compiler in {"", COMPILER} and not p.variant
        ]
        workloads = [w.name for w in all_workloads() if arch in w.arches]
        if ALL:
            found += [(arch, workload, proposal) for workload in workloads for proposal in proposals]
        else:
            rounds = range(max(len(workloads), len(proposals)))
            found += [(arch, w, p) for _, w, p in zip(rounds, cycle(workloads), cycle(proposals), strict=False)]
    return [triple for triple in found if unsupported(asked(*triple)) is None]


def asked(arch: str, workload: str, proposal: str) -> Job:
    return Job(arch, COMPILER, workload, proposal, (), (), "small", Limits(), 0)


@pytest.mark.parametrize(("arch", "workload", "proposal"), pairs(), ids=["-".join(pair) for pair in pairs()])
def test_workload(arch: str, workload: str, proposal: str) -> None:
    job = asked(arch, workload, proposal)
    chosen = next(p for p in all_proposals() if p.name == proposal)
    try:
        subject = prepare(job, chosen, next(w for w in all_workloads() if w.name == workload))
    except RefusedError as error:
        assert workload == "stackswitch" and "only the parallel flavour stands that" in str(error)
        return
    unwinders = [u for u in all_unwinders() if u.unsupported(arch, subject.rewrite is not None) is None]
    unwinders = in_turn(unwinders, pairs().index((arch, workload, proposal)))
    this = case(subject.image, unwinders, rewrite=subject.rewrite, stacks=2)
    assert assert_agree(this).calls
