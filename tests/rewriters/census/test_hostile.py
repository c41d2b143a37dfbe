"""Damaged images: the census answers or refuses in one line, it never falls over."""

from __future__ import annotations

import random

import pytest

from lab.arch import arch_by_name
from lab.errors import LabError
from lab.images.build import build
from lab.images.image import parse_image
from lab.images.workloads import workload_by_name
from rewriters.census import survey
from tests.rewriters.census.asm import A64, X86


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("arch", [A64, X86])
@pytest.mark.parametrize("seed", range(3))
def test_flipped_bits(arch: str, seed: int) -> None:
    path = build(workload_by_name("longjmp"), arch_by_name(arch))
    whole, chance = path.read_bytes(), random.Random(seed)
    answered = 0
    for _ in range(20):
        raw = bytearray(whole)
        for _ in range(chance.choice((1, 16, 256))):
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        try:
            image = parse_image(bytes(raw), path)
            found = survey(image)
        except LabError as error:
            assert "\n" not in str(error)
            continue
        answered += 1
        assert set(found.bodies) | set(found.left_out) == {f.start for f in image.functions}
    assert answered
