"""A guest with several stacks: both engines, all modes it can have, with and without memo."""

from __future__ import annotations

from collections import Counter

import pytest

from lab.registry import all_unwinders
from lab.unwind.api import BLOCKED
from tests.engine.coroutines import coroutines
from tests.engine.native.agreement import assert_agree, case
from tests.engine.native.designs import DESIGNS
from tests.support import ARCH_NAMES

MODES = ("boundary", "call", "blocked")


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_both_engines_agree_on_two_tasks(arch: str) -> None:
    image = coroutines(arch)
    unwinders = [u for u in all_unwinders() if u.unsupported(arch, has_shadow=False) is None]
    execution = assert_agree(case(image, [*unwinders, *DESIGNS], MODES, stacks=100))
    assert execution.switches == 8
    by_mode = Counter({t.mode: 0 for t in execution.tallies})
    for tally in execution.tallies:
        by_mode[tally.mode] += tally.stops * (tally.unwinder == 0)
    assert by_mode[BLOCKED] == 8
