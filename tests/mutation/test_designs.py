"""Whole mutants: both engines agree, and planted designs come out as they must."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lab.engine.run import REFERENCE
from lab.layout import Region
from lab.mutation.api import KINDS
from lab.mutation.classes import Class
from lab.mutation.ground import Ground
from lab.mutation.run import Row, attempt, draw, plan_of, rows
from lab.mutation.stops import EXACT, SAID, listed
from tests.mutation.conftest import DESIGNS

TRUSTING = '''"""DWARF rows, every refusal taken for the end of the stack: a design that never says no."""

from lab.unwind import dwarf
from lab.unwind.api import END, FRAME, GOES_ON, Unwinder


def step(mem, cursor):
    status, ra, after = dwarf.step(mem, cursor)
    return (FRAME if status == FRAME else END), ra, after


UNWINDER = Unwinder("trusting", "DWARF, never refusing", "planted", dwarf.start, step, tables=(0,))
'''


def found(ground: Ground, kind: str, count: int) -> list[Row]:
    made = [row for row in rows(ground, draw(ground, kind, count, 7)) if not row.stillborn]
    assert made
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_both_engines_say_the_same_at_every_stop_of_a_mutant(ground: Ground, kind: str) -> None:
    for mutant in draw(ground, kind, 2, 3):
        trial = attempt(ground, mutant)
        if trial.run is None or trial.problem:
            continue
        other = listed(trial.mutated.image, ground.rewrite, plan_of(ground, trial.mutated), REFERENCE)
        assert (trial.run.result, trial.run.instructions, trial.run.calls) == (
            other.result,
            other.instructions,
            other.calls,
        )
        for mode, stops in other.stops.items():
            assert np.array_equal(stops.pcs, trial.run.stops[mode].pcs)
            assert np.array_equal(stops.said, trial.run.stops[mode].said)


@pytest.mark.parametrize("kind", KINDS)
def test_the_oracle_is_never_wrong_and_each_design_answers_for_what_it_reads(ground: Ground, kind: str) -> None:
    made = found(ground, kind, 8)
    assert all(not row.fates["oracle"].wrong for row in made)
    fates = {name: {row.fates[name].klass for row in made} for name in DESIGNS}
    if kind == "metadata":  # the layout of a rewrite is no unwind table
        assert fates["fp"] == fates["scs-lr"] == fates["oracle"] == {Class.NOT_REACHED}
        assert fates["dwarf"] & {Class.DETECTED, Class.SILENT}
    elif kind == "memory":
        assert fates["oracle"] == {Class.NOT_REACHED}
        shadow = [row for row in made if row.operator.startswith("shadow")]
        stack = [row for row in made if row.operator.startswith("record")]
        assert shadow
        assert stack
        assert all(row.fates[name].klass is Class.NOT_REACHED for row in shadow for name in ("fp", "dwarf"))
        assert any(row.fates["fp"].klass is Class.SILENT for row in stack)
        assert any(row.fates["scs-lr"].klass is not Class.NOT_REACHED for row in shadow)
    elif kind == "rewrite":  # nothing but the shadow stack differs
        assert fates["fp"] == fates["dwarf"] == fates["oracle"] == {Class.HARMLESS}
        assert Class.SILENT in fates["scs-lr"]
    else:
        assert fates["oracle"] == {Class.HARMLESS}
        assert Class.SILENT in fates["fp"]


def test_a_design_that_never_refuses_is_silently_wrong(ground: Ground, tmp_path: Path) -> None:
    file = tmp_path / "trusting.py"
    file.write_text(TRUSTING)
    own = Ground(ground.case, (str(file),), ("call",), REFERENCE)
    assert np.all(own.baseline.stops["call"].said == EXACT)
    made = found(own, "metadata", 7)
    fates = [row.fates["trusting"] for row in made]
    assert all(fate.klass is not Class.DETECTED for fate in fates)
    assert any(fate.klass is Class.SILENT for fate in fates)


def test_a_place_that_was_wrong_before_hides_nothing(ground: Ground) -> None:
    said = ground.baseline.stops["boundary"].said[:, DESIGNS.index("fp")]
    assert SAID.index("missing") in said.tolist()
    assert ground.rewrite is not None
    regions = {ground.rewrite.region(int(pc)) for pc in ground.baseline.stops["boundary"].pcs}
    assert {Region.ORIGINAL, Region.INSERTED} <= regions
