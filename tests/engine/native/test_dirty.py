"""A walk that replaces part of the path is not itself in doubt: only a store makes the next stop walk again."""

from __future__ import annotations

import pytest

from lab.engine.native.cells import P, S
from lab.engine.native.classify import STORE, UNPREDICTED, classify
from lab.engine.native.engine import NativeEngine
from lab.engine.plan import Plan
from lab.machine.machine import Limits
from lab.registry import unwinder
from tests.engine.smashing import catalogue
from tests.support import ARCH_NAMES


class Watching(NativeEngine):
    """Asks for every instruction to be decoded, every time, and looks at what the one before has left behind."""

    def look(self) -> None:
        """Before the run."""
        self.before = -1
        self.state[S.RECALL] = 0  # what is recalled is not walked, and doubts are left as they are
        self.dirty: list[int] = []
        self.storing: set[int] = set()

    def _decode(self, pc: int, b: int) -> None:
        super()._decode(pc, b)
        if classify(self.image.arch, self.machine.code_at(pc), pc).flags & (STORE | UNPREDICTED):
            self.storing.add(pc)
        if self.state.unwinders[0].block[P.DIRTY]:
            self.dirty.append(self.before)
        if self.before >= 0:
            self.places.forget(self.before, self.before + 1)
        self.before = pc


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize("name", ["recursion", "chain"])
def test_only_a_store_leaves_doubt(arch: str, name: str) -> None:
    image = next(p for p in catalogue() if (p.arch, p.name) == (arch, name)).make()
    engine = Watching(image, None, Plan((unwinder("fp"),), ("boundary",), Limits(5_000, 60), stacks=0))
    engine.look()
    engine.run()
    assert engine.dirty
    assert set(engine.dirty) <= engine.storing, {image.locate(pc) for pc in set(engine.dirty) - engine.storing}
