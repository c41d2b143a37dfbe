"""The table of requirements is sound: every entry is of the form the lab reads and is held against the corpus."""

from __future__ import annotations

import dataclasses
import re
from fnmatch import fnmatchcase

import pytest

from lab import registry
from lab.conformance.conditions import ENTRY, INSTRUMENTED, SWITCH, TRACED, USER_MODE
from lab.conformance.planning import ALL_MODES, designs, experiments, provokes, sites
from lab.conformance.requirement import BREAKS, Requirement
from lab.conformance.requirements import REQUIREMENTS
from lab.experiment import Experiment, revive
from lab.images.build import KERNEL
from lab.images.workloads import ROWS, all_workloads, workload_by_name
from lab.store.rows import VerdictRow

BY_ID = {row.id: row for row in REQUIREMENTS}
COLUMNS = {field.name for field in dataclasses.fields(VerdictRow)}
VALUES: dict[str, set[object]] = {
    "arch": {"aarch64", "x86_64"},
    "mode": set(ALL_MODES),
    "offset_class": {"prologue", "body", "epilogue", "none"},
    "region": {"original", "inserted", "trampoline", "handler"},
    "lr_live": {True, False, None},
    "record_complete": {True, False, None},
    "interrupted": {True, False},
    "row_kind": {"sp", "fp", "other", "expression", "undefined", "none"},
}
"""Column -> what lab.features may say there."""
SECTIONS = ("2", "3", "4.1", "4.2", "4.3", "4.4", "4.5", "4.6")


def test_every_section_has_rows_and_they_stand_in_its_order() -> None:
    assert len(BY_ID) == len(REQUIREMENTS)
    assert tuple(dict.fromkeys(row.section for row in REQUIREMENTS)) == SECTIONS


@pytest.mark.parametrize("name", BY_ID)
def test_a_requirement_is_well_formed(name: str) -> None:
    said = BY_ID[name]
    assert re.fullmatch(r"RS-\d(\.\d)?-[a-z]+", said.id)
    assert 0 < len(said.title) <= 42
    assert said.demand.endswith(".")
    assert set(said.breaks) <= set(BREAKS)
    assert set(said.modes) <= set(ALL_MODES)
    assert set(said.rows) | set(said.without) <= set(ROWS)
    assert not set(said.rows) & set(said.without)
    assert bool(said.elsewhere) == (set(said.arches) != set(registry.names().arches))
    assert set(said.proposals) <= set(registry.names().proposals)


@pytest.mark.parametrize("name", BY_ID)
def test_its_conditions_name_columns_and_values_there_are(name: str) -> None:
    for condition in (BY_ID[name].where, *BY_ID[name].unless):
        assert set(condition) <= COLUMNS
        for column, values in condition.items():
            assert values
            assert column == "function" or set(values) <= VALUES[column], column


@pytest.mark.parametrize("name", BY_ID)
def test_the_corpus_has_something_for_it_or_it_says_why_not(name: str) -> None:
    said = BY_ID[name]
    for workload in said.workloads:
        assert workload_by_name(workload).name == workload
    found = [workload.name for workload in all_workloads() if provokes(said, workload)]
    assert bool(found) != bool(said.lacking)
    planned = {name for experiment in experiments((), ("fp",), (said,)) for name in experiment.workloads}
    assert said.everywhere or set(said.workloads) <= planned


def test_interrupts_alone_leave_out_what_goes_wrong_at_calls() -> None:
    """What no CFI row can say is wrong at a call already: no row about interrupts may show it as its own."""
    said = BY_ID["RS-4.3-body"]
    kept = {workload.name for workload in all_workloads() if provokes(said, workload)}
    assert {"deep", "early", "tree"} <= kept
    assert not kept & {"dynamicframe", "jitted", "alternative", "fgraph", "pushpop", "smash", "wrongcfi"}
    assert provokes(dataclasses.replace(said, interrupts_alone=False), workload_by_name("dynamicframe"))


def test_moving_sp_is_looked_at_in_every_program_that_says_where_it_does() -> None:
    moving = {w.name for w in all_workloads() if {17, 40} & set(w.rows) and sites(BY_ID["RS-3-pushes"], w)}
    assert moving == set(BY_ID["RS-3-pushes"].workloads)


def test_functions_of_the_kernel_that_are_named_are_there() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(KERNEL.iterdir()))
    for pattern in (*ENTRY, *SWITCH, *USER_MODE[0]["function"]):
        words = set(re.findall(r"\w+", text))
        assert any(fnmatchcase(word, pattern) for word in words), pattern
    assert "length_odd" in workload_by_name("asmleaf").path.read_text(encoding="utf-8")
    own = "".join(workload.path.read_text(encoding="utf-8") for workload in all_workloads())
    assert not re.findall(r"\buser_(?:main|round|call)", own), "what runs in user mode is known by its name"
    traced = "".join(workload_by_name(name).path.read_text(encoding="utf-8") for name in ("fgraph", "ftracesite"))
    assert set(TRACED) <= set(re.findall(r"\w+", traced))


def test_all_that_is_needed_is_planned_once() -> None:
    plain, kernel = experiments((), ())
    assert set(plain.modes) == {"boundary", "call"}
    assert set(kernel.modes) == set(ALL_MODES)
    assert set(plain.unwinders) == set(kernel.unwinders) == {*designs(), "oracle"}
    assert {"base", *INSTRUMENTED} == set(plain.proposals)
    for experiment in (plain, kernel):
        assert revive(experiment, registry.names(), "planned") == _expanded(experiment)
        for workload in experiment.workloads:
            assert any(provokes(said, workload_by_name(workload)) for said in REQUIREMENTS if not said.everywhere)
    for said in REQUIREMENTS:
        known = [w for w in all_workloads() if provokes(said, w) and not w.foreign]
        assert said.everywhere or not known or {w.name for w in known} & {*plain.workloads, *kernel.workloads}


def _expanded(experiment: Experiment) -> Experiment:
    """With every list in the registry's order."""
    names = registry.names()
    order = {"workloads": [w[0] for w in names.workloads], "proposals": names.proposals, "unwinders": names.unwinders}
    lists = {
        key: [name for name in known if name in getattr(experiment, key)]
        + [name for name in getattr(experiment, key) if name not in known]
        for key, known in order.items()
    }
    return experiment.model_copy(update=lists)


def test_one_design_and_one_row_need_little() -> None:
    (plain,) = experiments(("aarch64",), ("fp",), (BY_ID["RS-2-corrupt"],))
    assert plain.unwinders == ["fp", "oracle"]
    assert plain.proposals == ["base"]
    assert plain.arches == ["aarch64"]
    assert "smash" in plain.workloads
    assert experiments((), ("fp",), (BY_ID["RS-2-trace"],)) == ()


def test_claims_of_functions_say_where_to_look() -> None:
    said = Requirement(id="RS-3-x", title="x", demand="x.", rows=(15,), sited=True)
    for workload in all_workloads():
        named = {claim.function for claim in workload.claims if claim.function}
        assert sites(said, workload) == named
        assert sites(dataclasses.replace(said, sited=False), workload) == frozenset()
