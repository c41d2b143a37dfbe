"""What is recalled is what would be said: stops that are alike in nearly all that walks can depend on."""

from __future__ import annotations

import pytest

from lab.arch import arch_by_name
from lab.bench.programs import set_rounds
from lab.bench.subjects import EIGHT, PROPOSALS, make_subject
from lab.engine.native.cells import P, S
from lab.engine.native.engine import NativeEngine
from lab.engine.plan import Plan
from lab.machine.machine import Limits
from lab.registry import unwinder
from lab.unwind.api import END, FRAME, SHADOW_NONE, Cursor, Mem, Reason, Regs, StepResult, Unwinder, load64
from lab.unwind.shadow import pointer
from tests.engine.native.agreement import BOTH, assert_agree, case, difference
from tests.engine.native.designs import DESIGNS
from tests.support import ARCH_NAMES

LIMITS = Limits(400_000, 120)
SHORT = Limits(30_000, 120)
ORACLE = unwinder("oracle")


def run(arch: str, names: tuple[str, ...], workload: str = "calls") -> NativeEngine:
    """A call-heavy program, judged by *names*, as far as LIMITS."""
    subject = make_subject(workload, arch_by_name(arch), PROPOSALS[arch])
    plan = Plan(tuple(unwinder(name) for name in names), BOTH, LIMITS, 0)
    engine = NativeEngine(subject.image, subject.rewrite, plan)
    set_rounds(engine.machine, subject.image, 1000)
    engine.run()
    return engine


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_most_stops_of_a_loop_are_recalled(arch: str) -> None:
    state = run(arch, EIGHT[arch]).state
    assert state[S.LOOKED_UP] > 10_000
    assert state[S.RECALLED] > 0.9 * state[S.LOOKED_UP]


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_what_scans_the_stack_is_set_apart_and_the_others_are_recalled(arch: str) -> None:
    names = (*EIGHT[arch], "guess")
    engine = run(arch, names)
    apart = [name for name, own in zip(names, engine.state.unwinders, strict=True) if own.block[P.APART]]
    assert apart == ["guess"]
    assert engine.state[S.RECALLED] > 0.8 * engine.state[S.LOOKED_UP]


def test_without_memo_nothing_is_looked_up() -> None:
    subject = make_subject("calls", arch_by_name("aarch64"), PROPOSALS["aarch64"])
    plan = Plan((unwinder("fp"), ORACLE), BOTH, SHORT, 0, memo=False)
    engine = NativeEngine(subject.image, subject.rewrite, plan)
    engine.run()
    assert engine.state[S.LOOKED_UP] == 0


# -- designs that read what a key does not tell ----------------------------------------------------------------


def from_shadow(mode: int, pc: int, regs: Regs) -> Cursor:
    return regs.ssp, 0


def dead_entries(mem: Mem, cursor: Cursor) -> StepResult:
    """What earlier, deeper calls have left beyond the pointer."""
    p, n = cursor
    if mem.shadow_kind == SHADOW_NONE or n == 3:
        return END, 0, cursor
    if n == 0:
        p = pointer(mem, p)
    if p < mem.shadow_base or p + 8 > mem.shadow_limit:
        return END, 0, cursor
    return FRAME, load64(mem, p), (p + 8, n + 1)


def from_hardware(mode: int, pc: int, regs: Regs) -> Cursor:
    return regs.hssp, 0


def popped_entries(mem: Mem, cursor: Cursor) -> StepResult:
    """The same on the hardware's shadow stack, which grows down."""
    p, n = cursor
    if n == 3 or p < mem.hw_base + 8:
        return END, 0, cursor
    return FRAME, load64(mem, p - 8), (p - 8, n + 1)


def from_sp(mode: int, pc: int, regs: Regs) -> Cursor:
    return regs.sp, mode, 0


def under_calls(mem: Mem, cursor: Cursor) -> StepResult:
    """At a call's stop refuses by a bit of what lies below SP."""
    sp, mode, n = cursor
    if mode == 0 or n == 1:
        return END, 0, cursor
    found = load64(mem, sp - 8) ^ load64(mem, sp - 16) ^ load64(mem, sp - 24) ^ load64(mem, sp - 32)
    return (Reason.BAD_METADATA if found & 8 else END), 0, (sp, mode, 1)


ODD = (
    Unwinder("dead-entries", "", "", from_shadow, dead_entries, needs_shadow=True),
    Unwinder("popped-entries", "", "", from_hardware, popped_entries, hardware=True),
    Unwinder("under-calls", "", "", from_sp, under_calls),
)


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize("design", ODD, ids=lambda design: design.name)
def test_what_a_key_does_not_tell_is_never_recalled(arch: str, design: Unwinder) -> None:
    subject = make_subject("calls", arch_by_name(arch), PROPOSALS[arch])
    said = assert_agree(case(subject.image, (design, ORACLE), BOTH, rewrite=subject.rewrite, limits=SHORT), status=None)
    assert len({tally.judgement for tally in said.tallies if tally.unwinder == 0}) > 1


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_designs_by_twos_agree(arch: str) -> None:
    """Each beside one that is easily recalled: what one rests on must not be forgotten for the other."""
    subject = make_subject("recursion", arch_by_name(arch), PROPOSALS[arch])
    for design in DESIGNS:
        both = case(subject.image, (design, unwinder("scs")), BOTH, rewrite=subject.rewrite, limits=SHORT, stacks=0)
        plain = both.native(memo=False)
        assert not difference(both, plain, both.native()), design.name


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_walks_that_are_capped_are_recalled_as_one_step(arch: str) -> None:
    """A thousand frames deep: nothing of such a walk is on a path that others could go on by."""
    subject = make_subject("depth-1000", arch_by_name(arch), PROPOSALS[arch])
    capped = case(
        subject.image, (unwinder("fp+cap100"), ORACLE), BOTH, rewrite=subject.rewrite, limits=LIMITS, stacks=0
    )
    engine = NativeEngine(capped.image, capped.rewrite, capped.plan)
    set_rounds(engine.machine, subject.image, 40)
    engine.run()
    assert engine.state[S.RECALLED] > 0.2 * engine.state[S.LOOKED_UP] > 0
    assert not difference(capped, capped.native(memo=False), capped.native())
