"""What the host writes into a guest changes verdicts just as a guest's own store does."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from lab.engine.native.engine import NativeEngine
from lab.engine.plan import Execution, Plan
from lab.engine.reference import ReferenceEngine
from lab.images.image import Image
from lab.layout import RewriteMap
from lab.machine.machine import Limits, Machine
from lab.registry import unwinder
from lab.unwind.api import BOUNDARY, Unwinder
from tests.engine.native.agreement import assert_agree, case, difference
from tests.engine.native.designs import DESIGNS
from tests.support import ARCH_NAMES, assemble

UNWINDERS = (unwinder("fp"), unwinder("oracle"), *DESIGNS[:2])
Acts = dict[str, Callable[[Machine], None]]
NOP = {"aarch64": bytes.fromhex("1f2003d5"), "x86_64": b"\x90" * 5}

#: victim calls inner; test_main calls it at the places ``first`` and ``second``, from three frames deep.
TEXT = {
    "aarch64": """
FUNC inner
 ret
END inner
FUNC victim
 stp x29, x30, [sp, #-16]!
 mov x29, sp
the_call: bl inner
 ldp x29, x30, [sp], #16
 ret
END victim
FUNC middle
 stp x29, x30, [sp, #-32]!
 mov x29, sp
 bl victim
 nop
 nop
smash: nop
 nop
 bl victim
heal: nop
 nop
 bl victim
below: nop
 nop
 ldp x29, x30, [sp], #32
 ret
END middle
FUNC test_main
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 bl middle
 mov x0, #0
 ldp x29, x30, [sp], #16
 ret
END test_main
""",
    "x86_64": """
FUNC inner
 ret
END inner
FUNC victim
 push %rbp
 mov %rsp, %rbp
the_call: call inner
 pop %rbp
 ret
END victim
FUNC middle
 push %rbp
 mov %rsp, %rbp
 sub $16, %rsp
 call victim
 nop
 nop
smash: nop
 nop
 call victim
heal: nop
 nop
 call victim
below: nop
 nop
 add $16, %rsp
 pop %rbp
 ret
END middle
FUNC test_main
 push %rbp
 mov %rsp, %rbp
 call middle
 xor %eax, %eax
 pop %rbp
 ret
END test_main
""",
}


class ActingNative(NativeEngine):
    """Acts when an instruction is first about to execute."""

    acts: dict[int, Callable[[Machine], None]]

    def _decode(self, pc: int, place: int) -> None:
        super()._decode(pc, place)
        act = self.acts.pop(pc, None)
        if act is not None:
            act(self.machine)


class ActingReference(ReferenceEngine):
    """The same."""

    acts: dict[int, Callable[[Machine], None]]

    def _instruction(self, pc: int) -> None:
        act = self.acts.pop(pc, None)
        if act is not None:
            act(self.machine)
        super()._instruction(pc)


def run(
    kind: type[Any], image: Image, acts: Acts, *, memo: bool = True, rewrite: RewriteMap | None = None
) -> Execution:
    unwinders: tuple[Unwinder, ...] = UNWINDERS
    engine = kind(image, rewrite, Plan(unwinders, ("boundary", "call"), Limits(10_000, 60), stacks=0, memo=memo))
    engine.acts = {image.symbols[name]: act for name, act in acts.items()}
    execution: Execution = engine.run()
    assert not engine.acts, "it came to all places"
    assert execution.outcome.status == 0
    return execution


def agreed(image: Image, acts: Acts) -> Execution:
    expected = run(ActingReference, image, acts)
    for memo in (True, False):
        said = difference(case(image, UNWINDERS), expected, run(ActingNative, image, acts, memo=memo))
        assert not said, said
    return expected


def put(offset: int, change: Callable[[int], int], level: int = 0) -> Callable[[Machine], None]:
    """Change the word at FP + *offset*, or in the record *level* frames up."""

    def act(machine: Machine) -> None:
        at = machine.registers()[machine.arch.fp]
        for _ in range(level):
            at = machine.memory.load(at) or 0
        value = change(machine.memory.load(at + offset) or 0)
        machine.write(at + offset, struct.pack("<Q", value))

    return act


def verdicts(execution: Execution, pc: int) -> set[str]:
    found: dict[int, set[str]] = defaultdict(set)
    for tally in execution.tallies:
        if (tally.mode, tally.unwinder) == (BOUNDARY, 0):
            found[tally.pc].add(tally.judgement.verdict.value)
    return found[pc]


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_frame_record(arch: str, level: int) -> None:
    """Smashed and restored between stops at which nothing else changes, in every record of the chain."""
    image = assemble(arch, TEXT[arch])
    flip = 1 << 16

    def toggle(value: int) -> int:
        return value ^ flip

    execution = agreed(image, {"smash": put(8, toggle, level), "heal": put(8, toggle, level)})
    assert verdicts(execution, image.symbols["smash"]) == {("missing", "missing", "extra")[level]}
    assert verdicts(execution, image.symbols["heal"]) == {"exact"}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_what_no_unwinder_read(arch: str) -> None:
    image = assemble(arch, TEXT[arch])
    execution = agreed(image, {"smash": put(-8, lambda value: value ^ 5), "below": put(-8, lambda value: value ^ 5)})
    assert verdicts(execution, image.symbols["smash"]) == {"exact"}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_code(arch: str) -> None:
    """A call that has been executed becomes nothing, and a call again."""
    image = assemble(arch, TEXT[arch])
    at = image.symbols["the_call"]
    old = image.read(at, len(NOP[arch]))
    plain = agreed(image, {})
    changed = agreed(image, {"smash": lambda m: m.write(at, NOP[arch]), "heal": lambda m: m.write(at, old)})
    assert changed.calls == plain.calls - 1


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_before_the_run(arch: str) -> None:
    image = assemble(arch, TEXT[arch])
    at = image.symbols["the_call"]

    def prepare(machine: Machine) -> None:
        machine.write(at, NOP[arch])

    plain, changed = assert_agree(case(image, UNWINDERS)), assert_agree(case(image, UNWINDERS, prepare=prepare))
    assert changed.calls == plain.calls - 3


class WritesWhenKept(NativeEngine):
    """Smashes the record as soon as a stack is kept."""

    def _keep(self, index: int, mode: int) -> None:
        super()._keep(index, mode)
        put(8, lambda value: value | 1 << 20)(self.machine)


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_from_where_a_stack_is_kept(arch: str) -> None:
    """Memo or no memo: those judged at this stop already are judged anew at the next."""
    image = assemble(arch, TEXT[arch])
    some = (unwinder("fp"), DESIGNS[0], unwinder("fp"), unwinder("oracle"))
    found = [
        WritesWhenKept(image, None, Plan(some, ("boundary",), stacks=1, memo=memo)).run() for memo in (True, False)
    ]
    assert not difference(case(image, some), found[0], found[1])


class WritesLate(NativeEngine):
    """Writes when the second stack is kept, where only LR has changed: features depend on what is written."""

    kept = 0

    def _keep(self, index: int, mode: int) -> None:
        super()._keep(index, mode)
        self.kept += 1
        if self.kept == 2:
            put(8, lambda value: value ^ 1 << 20)(self.machine)


LATE = """
FUNC test_main
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 mov x9, x30
 mov x30, #5
 mov x30, #6
 nop
 nop
 mov x30, x9
 ldr x30, [sp, #8]
 mov x0, #0
 mov x30, x9
 add sp, sp, #16
 ldr x29, [sp, #-16]
 ret
END test_main
"""


def test_features_after_a_write_in_the_middle_of_a_stop() -> None:
    """What was written while a stop was being judged is seen from that stop on, by the features too."""
    image = assemble("aarch64", LATE)
    refusing = next(design for design in DESIGNS if design.name == "with-lr")
    found = WritesLate(image, None, Plan((refusing,), ("boundary",), stacks=50)).run()
    start = image.symbols["test_main"]
    complete = {t.pc - start: t.dynamic.record_complete for t in found.tallies}
    assert complete[8] is True
    assert [complete[offset] for offset in (16, 20, 24, 28)] == [False] * 4
