"""The census of the lab's own images: how much it understands, whether runs and unwind information agree."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from lab.arch import arch_by_name
from lab.images.build import build
from lab.images.image import Image, load_image
from lab.images.workloads import all_workloads
from rewriters.census import Survey, survey
from tests.rewriters.census.asm import A64, X86
from tests.rewriters.census.frames import disagreements
from tests.rewriters.census.shadow import Shadow

REWRITTEN = [w for w in all_workloads() if w.runtime == "plain" and not w.changes_code]
CASES = [(arch, w.name) for w in REWRITTEN for arch in (A64, X86) if arch in w.arches]
BROKEN = {"smash_own", "length_odd", "by_fp", "by_sp", "by_nothing", "next"}
"""Functions of the corpus that do with their return address, with SP or in their CFI what no compiler does."""


@cache
def looked_at(arch: str, name: str) -> tuple[Image, Survey]:
    workload = next(w for w in all_workloads() if w.name == name)
    image = load_image(build(workload, arch_by_name(arch)))
    return image, survey(image)


@pytest.mark.parametrize(("arch", "name"), CASES)
def test_every_function_but_the_known_ones_is_understood(arch: str, name: str) -> None:
    image, found = looked_at(arch, name)
    out = {o.function: o.reason for o in found.left_out.values()}
    jumps = {shape.function.name for shape in found.jumps.values()}
    strange = {f: why for f, why in out.items() if f not in BROKEN | jumps | {"_start"}}
    assert strange == {}
    assert set(found.bodies) | set(found.left_out) == {f.start for f in image.functions}


@pytest.mark.parametrize(("arch", "name"), CASES)
def test_every_push_meets_its_pop(arch: str, name: str) -> None:
    image, found = looked_at(arch, name)
    run = Shadow(image, found).execute()
    assert run.wrong == []
    assert run.pushes > 0
    assert run.exits > 0


@pytest.mark.parametrize(("arch", "name"), CASES)
def test_unwind_information_agrees_that_the_frame_is_down_at_every_exit(arch: str, name: str) -> None:
    image, found = looked_at(arch, name)
    asked, wrong = disagreements(image, found)
    assert asked > 0
    assert wrong == []


@pytest.mark.parametrize("arch", [A64, X86])
def test_a_census_that_misses_an_exit_is_found_out(arch: str) -> None:
    image, found = looked_at(arch, "alloca")
    start = image.symbols["lab_start"]
    bodies = found.bodies | {start: replace(found.bodies[start], exits=())}
    whole, damaged = Shadow(image, found).execute(), Shadow(image, replace(found, bodies=bodies)).execute()
    assert whole.exits > damaged.exits
    assert damaged.left > whole.left or damaged.wrong
