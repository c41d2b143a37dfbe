"""Small programs whose true trace is noted before every instruction, and the caller they share."""

from __future__ import annotations

from lab.engine.plan import Plan
from lab.engine.reference import ReferenceEngine
from lab.images.image import Image
from lab.layout import RewriteMap
from lab.registry import unwinder
from lab.unwind.api import Regs
from tests.support import assemble

Trace = tuple[str, ...]


class Watch(ReferenceEngine):
    """The reference engine, noting every boundary stop as (location, true return addresses as locations)."""

    def __init__(self, image: Image, rewrite: RewriteMap | None = None) -> None:
        super().__init__(image, rewrite, Plan((unwinder("oracle"),), ("boundary", "call")))
        self.seen: list[tuple[str, Trace]] = []

    def _boundary_stop(self, regs: Regs) -> None:
        locate = self.image.locate
        self.seen.append((locate(regs.pc), tuple(locate(ra) for ra in self.truth.trace())))
        super()._boundary_stop(regs)


def watch(arch: str, body: str, rewrite: RewriteMap | None = None) -> list[tuple[str, Trace]]:
    engine = Watch(assemble(arch, body), rewrite)
    execution = engine.run()
    assert execution.outcome.status == 0, execution.outcome
    return engine.seen


def at(seen: list[tuple[str, Trace]], place: str) -> Trace:
    """The true trace at the one time *place* was about to execute."""
    (trace,) = [trace for where, trace in seen if where == place]
    return trace


def main_ra(arch: str) -> str:
    """The return address of the call to test_main."""
    image = assemble(arch, "FUNC test_main\n ret\nEND test_main\n")
    (call,) = [trace for where, trace in _quick(image) if where == "test_main+0x0"]
    return call[0]


def _quick(image: Image) -> list[tuple[str, Trace]]:
    engine = Watch(image)
    engine.run()
    return engine.seen


CALLER = {
    "aarch64": (
        "FUNC test_main\n stp x29, x30, [sp, #-16]!\n bl callee\n"
        " mov w0, #0\n ldp x29, x30, [sp], #16\n ret\nEND test_main\n"
    ),
    "x86_64": "FUNC test_main\n push %rbp\n call callee\n xor %eax, %eax\n pop %rbp\n ret\nEND test_main\n",
}
RA = {"aarch64": "test_main+0x8", "x86_64": "test_main+0x6"}
CALL = {"aarch64": "test_main+0x4", "x86_64": "test_main+0x1"}
