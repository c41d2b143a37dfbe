"""Reliability rules: each refuses where its equation says, nowhere else, and the same in every engine."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from lab.engine.native.cells import S
from lab.engine.native.engine import NativeEngine
from lab.engine.plan import Execution, Plan
from lab.engine.reference import ReferenceEngine
from lab.errors import InputError
from lab.experiment import unwinder_parts
from lab.lowering.source import take_apart
from lab.machine.machine import Limits
from lab.registry import all_rules, unwinder
from lab.selftest.cases import Case
from lab.unwind.api import BOUNDARY, CALL
from lab.unwind.rules.compose import wrap
from tests.engine.native.agreement import assert_agree, case
from tests.engine.native.designs import DESIGNS
from tests.engine.random_programs import random_program
from tests.support import ARCH_NAMES, assemble, compile_c, execute, verdicts
from tests.unwind.rules.programs import DEPTH, KERNEL, USER, flagged, recursion, through_pt_regs

PLAIN = tuple(rule for rule in all_rules() if not rule.needs_layout)


def reasons(execution: Execution, mode: int, index: int = 0) -> Counter[str]:
    """Reason ("" = said nothing) -> stops of one unwinder."""
    found: Counter[str] = Counter()
    for tally in execution.tallies:
        if (tally.mode, tally.unwinder) == (mode, index):
            found[tally.judgement.reason] += tally.stops
    return found


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_all_rules_together_say_the_same_in_every_engine(arch: str) -> None:
    odd = {design.name: design for design in DESIGNS}
    wrapped = [wrap(odd[name], rule) for name, rule in zip(("scan", "refuse-same", "too-much"), PLAIN, strict=False)]
    names = ["+".join(["fp", *(rule.name for rule in PLAIN)]), *(f"fp+{rule.name}" for rule in PLAIN)]
    said = assert_agree(case(random_program(arch, 3), [*map(unwinder, names), *wrapped]), status=None)
    assert reasons(said, BOUNDARY, 0)["exception"]


def test_composing_leaves_what_it_is_made_of_as_it_was() -> None:
    """Trees are read once and shared: a design that was wrapped is the same design for the next rule."""
    plain = unwinder("fp")
    parts = (plain.start, plain.step, *(rule.begin for rule in PLAIN))
    before = [ast.dump(take_apart(part).node) for part in parts]
    for rule in PLAIN:
        wrap(wrap(plain, rule), PLAIN[0])
    assert [ast.dump(take_apart(part).node) for part in parts] == before


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_buffer_of_100_entries_is_full_with_the_pc_and_99_return_addresses(arch: str) -> None:
    names = ("oracle", "fp+cap100", "fp")
    said = assert_agree(case(recursion(arch), [unwinder(name) for name in names], ("call",), stacks=10_000))
    full = [kept for kept in said.stacks if kept.unwinder == 1]
    assert min(len(kept.truth) for kept in full) == 99
    assert {kept.judgement.reason for kept in full} == {"too_many"}
    assert {kept.judgement.doubt.value for kept in full} == {"needless"}
    assert set(verdicts(said, CALL, 2)) == {"exact"}
    # _start calls test_main, which calls down(DEPTH) .. down(0): the n-th call has n - 1 return addresses below its pc.
    assert verdicts(said, CALL, 1) == {"exact": 99, "refused": DEPTH + 2 - 99}


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize(("state", "refuses"), [(KERNEL, True), (USER, False)])
def test_a_pt_regs_in_the_trace(arch: str, state: dict[str, int], refuses: bool) -> None:
    names = ("fp+no-pt-regs", "fp+pstate")
    said = assert_agree(case(through_pt_regs(arch, state), [unwinder(name) for name in names]))
    where = said.tallies
    image = through_pt_regs(arch, state)
    at_outer = {
        (t.unwinder, t.judgement.reason)
        for t in where
        if t.mode == CALL and image.function_at(t.pc - 1).name == "outer"  # type: ignore[union-attr]
    }
    assert (0, "regs_frame") in at_outer
    assert ((1, "exception") in at_outer) is refuses


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_broken_chain_is_no_end(arch: str) -> None:
    body = {
        "aarch64": "FUNC test_main\n stp x29, x30, [sp, #-16]!\n mov x29, sp\n bl good\n mov x29, #0\n bl bad\n"
        " mov w0, #0\n ldp x29, x30, [sp], #16\n ret\nEND test_main\n",
        "x86_64": "FUNC test_main\n push %rbp\n mov %rsp, %rbp\n call good\n xor %ebp, %ebp\n call bad\n"
        " xor %eax, %eax\n pop %rbp\n ret\nEND test_main\n",
    }[arch]
    image = assemble(arch, body + "FUNC good\n ret\nEND good\nFUNC bad\n ret\nEND bad\n")
    names = ("fp", "fp+end-check", *(("fp-reliable+no-end-check",) if arch == "aarch64" else ()))
    said = assert_agree(case(image, [unwinder(name) for name in names]))
    assert verdicts(said, CALL, 0) == {"exact": 2, "missing": 1}
    assert reasons(said, CALL, 1) == {"": 2, "not_at_end": 1}
    if arch == "aarch64":
        assert verdicts(said, CALL, 2) == {"exact": 2, "missing": 1}, "what v5 and v6 of the series do"


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize(("rule", "bit"), [("irq-flag", True), ("exception-flag", False)])
def test_the_tasks_flag_refuses_while_it_is_set(arch: str, rule: str, bit: bool) -> None:
    """Between set and clear, neither before nor after, wherever the interruption was: those are its races."""
    image = flagged(arch)
    plan = Plan((unwinder(f"fp+{rule}"),), ("boundary", "call"))
    found = []
    for engine in (ReferenceEngine(image, None, plan), NativeEngine(image, None, plan)):
        engine.reader.task, engine.reader.task_flags = image.symbols["flags"] - 16, 16
        object.__setattr__(engine.reader.view, "task", engine.reader.task)
        object.__setattr__(engine.reader.view, "task_flags", 16)
        if isinstance(engine, NativeEngine):
            engine.state[S.TASK], engine.state[S.TASK_FLAGS] = engine.reader.task, 16
        found.append(engine.run())
    assert found[0].tallies == found[1].tallies
    refused = {image.locate(t.pc).split("+")[0] for t in found[0].tallies if t.judgement.reason == "interrupted"}
    assert refused == ({"between", "test_main"} if bit else set())
    assert not execute(image, unwinder(f"fp+{rule}")).tallies[0].judgement.reason, "no tasks, no refusal"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fp+irq-flg", "unknown rule 'irq-flg'; did you mean 'irq-flag'?"),
        ("fpp+cap100", "unknown unwinder 'fpp'; did you mean 'fp'?"),
        ("oracle+cap100", "'oracle+cap100': the oracle is told the truth; a rule has nothing to refuse there"),
    ],
)
def test_a_wrong_name_is_one_line(name: str, text: str) -> None:
    with pytest.raises(InputError) as caught:
        unwinder(name)
    assert caught.value.lines == [text]


def test_a_name_is_an_unwinder_and_rules_and_a_file_may_have_a_plus_in_its_path() -> None:
    assert unwinder_parts("a+b/mine.py+cap100+end-check") == ("a+b/mine.py", ("cap100", "end-check"))
    assert unwinder_parts("a+b/mine.py") == ("a+b/mine.py", ())
    assert unwinder_parts("fp+cap100") == ("fp", ("cap100",))
    assert unwinder("fp+cap100+end-check") is unwinder("fp+cap100+end-check")


LEAF = """
__attribute__((noinline)) long leaf(long x) { return x * 3 + 1; }
__attribute__((noinline)) long twice(long x) { return leaf(x) + leaf(x + 1); }
int test_main(void) { return twice(1) != 11; }
"""


def test_the_table_says_where_lr_may_be_live_and_what_is_left_of_the_plain_walk_is_sound() -> None:
    """Leaf, prologue and epilogue are refused, each with cause; in the middle nothing is."""
    image = compile_c("aarch64", LEAF)
    said = assert_agree(case(image, [unwinder("fp"), unwinder("fp+lr-dwarf"), unwinder("dwarf+cap100+end-check")]))
    inside = [t for t in said.tallies if t.mode == BOUNDARY and not image.locate(t.pc).startswith("_start")]
    refused = {t.pc for t in inside if t.unwinder == 1 and t.judgement.reason == "lr_may_be_live"}
    assert {t.pc for t in inside if t.unwinder == 0 and t.judgement.verdict.value == "missing"} == refused
    assert {t.judgement.verdict.value for t in inside if t.unwinder == 1 and t.pc not in refused} == {"exact"}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_layout_says_where_lr_may_be_live(arch: str) -> None:
    proposal = {"aarch64": "pac-register-use", "x86_64": "xray-memory-check"}[arch]
    subject = Case(arch, "longjmp", proposal).subject()
    both = [unwinder("scs"), unwinder("scs+lr-layout")]
    said = assert_agree(case(subject.image, both, rewrite=subject.rewrite, limits=Limits(3000, 60)), status=None)
    plain, ruled = ([t for t in said.tallies if (t.unwinder, t.mode) == (i, BOUNDARY)] for i in (0, 1))
    missed = {t.pc for t in plain if t.judgement.verdict.value == "missing"}
    doubts = {(t.pc, t.judgement.reason) for t in ruled if t.judgement.reason}
    assert missed and {pc for pc, _ in doubts} >= missed
    said_so = {reason for _, reason in doubts}
    assert "lr_may_be_live" in said_so
    assert said_so <= {"lr_may_be_live", "layout_unknown", "shadow_bounds"}, "the last is said by scs itself"
