"""A seeded fuzz run: every damaged file ends in a verified output or one line.  ``make fuzz`` runs many more."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.layout import Policy
from lab.rewriting import rewrite_file
from rewriters import REWRITERS
from tests.fuzz.bases import Base, guest_bases, restricted
from tests.fuzz.cases import LIMITS
from tests.fuzz.elves import fuzz

COUNT, SEED = 130, 1


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> list[Base]:
    return guest_bases(tmp_path_factory.mktemp("bases"))


def _works(base: Base, mode: str, out: Path) -> bool:
    try:
        rewrite_file(base.path, out, mode, base.flavours[0], Policy.CHECK, limits=LIMITS)
    except LabError:
        return False
    return True


def test_damaged_files_and_maps_end_well(bases: list[Base], tmp_path: Path) -> None:
    out = tmp_path / "sound.elf"
    modes = [mode for mode in REWRITERS if any(_works(base, mode, out) for base in restricted(bases, [mode]))]
    assert set(modes) >= {"pac", "xray"}, "a mode that rewrites no sound guest finds nothing"
    tally = fuzz(restricted(bases, modes), SEED, COUNT, tmp_path / "work")
    assert not tally.faults, "\n".join(f"{SEED}/{e.index} {e.base}; {e.what}: {e.fault}" for e in tally.faults)
    assert len(tally.unproved) <= COUNT // 100, [ending.text for ending in tally.unproved]
    assert sum(tally.kinds.values()) == COUNT
    assert tally.kinds["done"] > COUNT // 20, "hardly anything was rewritten: the damage is too great to find much"
    assert tally.kinds["refused"] > COUNT // 2
    assert len(tally.reasons) > 30


def test_a_seed_is_the_same_damage(bases: list[Base], tmp_path: Path) -> None:
    one, other = (fuzz(bases, 7, 20, tmp_path / name, workers=1) for name in ("one", "other"))
    assert one.kinds == other.kinds
    assert one.reasons == other.reasons
