"""What has no native form is judged by the reference engine, beside the others and with a note; nothing crashes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.engine.native import tables
from lab.engine.native.compiling import NotCompiled, compiled_evaluator
from lab.engine.native.engine import NativeEngine
from lab.engine.plan import Plan
from lab.engine.run import execute
from lab.machine.machine import Limits
from lab.machine.pointer import VARIABLE
from lab.registry import load_unwinder, unwinder
from lab.unwind.api import Unwinder
from tests.engine.native.agreement import assert_agree, case, difference
from tests.engine.native.designs import DESIGNS
from tests.engine.smashing import catalogue, random_program
from tests.support import ARCH_NAMES

HEAD = """from lab.unwind.api import *
from lab.unwind.api import Reason, Unwinder

def start(mode, pc, regs):
    return regs.fp, regs.sp

"""
TAIL = '\nUNWINDER = Unwinder("odd", "odd", "made for tests", start, step)\n'

#: step's text -> what the note must say.
ODD = {
    "raises": ("    raise ValueError('no')", "line 8: raise has no compiled form"),
    "dictionary": ("    return END, {1: 2}[1], cursor", "line 8: dict has no compiled form"),
    "division": ("    return END, cursor[0] // cursor[1], cursor", "line 8: only division by a constant"),
    "shift": ("    return END, 1 << cursor[1], cursor", "line 8: only a shift by a constant below 64"),
    "recursion": ("    return step(mem, cursor)", "step calls itself"),
    "float": ("    return END, 0.5, cursor", "line 8: 0.5 is not an integer"),
    "none": ("    return END, None, cursor", "line 8: None is not an integer"),
    "text cursor": ("    return FRAME, 1, 'ab'", "line 8: 'ab' is not an integer"),
    "short cursor": ("    return FRAME, 1, (1,)", "numba: "),
    "float status": ("    return cursor[0] / 2, 1, cursor", "line 8: div has no compiled form"),
    "no return": ("    if cursor[0] == 7:\n        return END, 0, cursor", "line 7: 'step' may end without a return"),
    "bare return": ("    if cursor[0]:\n        return\n    return END, 0, cursor", "line 9: a return without a value"),
    "step of zero": (
        "    for i in range(0, 9, cursor[0] & 8):\n        pass\n    return END, 0, cursor",
        "line 8: only a range whose step is a constant above zero",
    ),
    "annotated only": (
        "    x: int\n    if cursor[0] == 5:\n        x = 1\n    return END, x, cursor",
        "line 11: 'x' may have no value yet",
    ),
    "not mem": ("    return END, load64(5, cursor[1]), cursor", "numba: "),
    "fact of regs": ("    return END, cursor.stack_low, cursor", "numba: "),
    "wrong arguments": ("    return END, load64(mem), cursor", "numba: "),
    "nothing": ("    pass", "numba: "),
}


def odd(folder: Path, text: str) -> Unwinder:
    """The plug-in whose step does *text*."""
    path = folder / "odd.py"
    path.write_text(f"{HEAD}def step(mem, cursor):\n{text}\n{TAIL}")
    return load_unwinder(path)


@pytest.mark.parametrize("name", ODD)
def test_no_native_form(tmp_path: Path, name: str) -> None:
    """Judged just as the reference engine judges it (mostly a crash), and so are those beside it."""
    text, reason = ODD[name]
    plugin = odd(tmp_path, text)
    plan = Plan((unwinder("fp"), plugin, unwinder("oracle")), ("boundary", "call"), Limits(120, 60), stacks=2)
    image = random_program("aarch64", 2)
    expected, found = execute(image, None, plan, "reference"), execute(image, None, plan)
    assert not difference(case(image, plan.unwinders), expected, found)
    assert found.engines == ("native", "reference", "native")
    (note,) = found.notes
    assert note.startswith("odd: reference engine: ")
    assert reason in note
    assert "\n" not in note


def test_a_function_without_source(tmp_path: Path) -> None:
    plugin = odd(tmp_path, "    return END, 0, cursor")
    space: dict[str, object] = {}
    exec(compile("def step(mem, cursor):\n    return 1, 0, cursor\n", "nowhere", "exec"), space)
    hidden = Unwinder("hidden", "hidden", "made for tests", plugin.start, space["step"])  # type: ignore[arg-type]
    with pytest.raises(NotCompiled, match="its source is not to be had"):
        compiled_evaluator(hidden)
    found = execute(random_program("x86_64", 2), None, Plan((hidden,), ("call",), Limits(200, 60)))
    assert found.engines == ("reference",)
    assert found.tallies


def test_what_cannot_be_hashed_may_be_called(tmp_path: Path) -> None:
    text = "    return END, strange(1), cursor\n\nclass Strange:\n    __hash__ = None\n"
    text += "    def __call__(self, x): return x\n"
    plugin = odd(tmp_path, f"{text}strange = Strange()")
    with pytest.raises(NotCompiled, match="'strange' has no compiled form"):
        compiled_evaluator(plugin)


def test_an_unknown_status_is_for_the_reference_engine(tmp_path: Path) -> None:
    """It is met in mid-run: the others are judged natively, once more; the note names that one alone."""
    plugin = odd(tmp_path, "    return 99 if cursor[1] & 32 else END, 0, cursor")
    plan = Plan((unwinder("fp"), plugin, unwinder("oracle")), ("boundary", "call"), Limits(2_000, 60), stacks=2)
    image = random_program("aarch64", 1)
    expected, found = execute(image, None, plan, "reference"), execute(image, None, plan)
    assert not difference(case(image, plan.unwinders), expected, found)
    assert found.engines == ("native", "reference", "native")
    assert found.notes == ("odd: reference engine: a step said 0x63, which is no status",)
    assert any("unknown status 99" in t.judgement.reason for t in found.tallies)


def test_several_unknown_statuses_are_left_out_one_by_one(tmp_path: Path) -> None:
    for status in (99, 98):
        (tmp_path / str(status)).mkdir()
    first, second = (odd(tmp_path / str(status), f"    return {status}, 0, cursor") for status in (99, 98))
    plan = Plan((first, unwinder("fp"), second), ("boundary",), Limits(300, 60))
    image = random_program("x86_64", 1)
    expected, found = execute(image, None, plan, "reference"), execute(image, None, plan)
    assert not difference(case(image, plan.unwinders), expected, found)
    assert found.engines == ("reference", "native", "reference")
    assert [note.split("said ")[1] for note in found.notes] == [f"{s:#x}, which is no status" for s in (99, 98)]


@pytest.mark.parametrize("count", [0, 2])
def test_code_too_far_apart_is_for_the_reference_engine(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_BYTES", 1)
    plan = Plan((unwinder("fp"), unwinder("oracle"))[:count], ("boundary",), Limits(300, 60))
    found = execute(random_program("aarch64", 1), None, plan)
    assert found.engines == ("reference",) * count
    assert [note.split(":")[0] for note in found.notes] == ["fp", "oracle"][:count]
    assert found.instructions == 300


@pytest.mark.parametrize("status", [0x101, 0x302, (1 << 64) - 1])
def test_every_unknown_status_is_noticed(tmp_path: Path, status: int) -> None:
    plugin = odd(tmp_path, f"    return {status}, 0, cursor")
    found = execute(random_program("aarch64", 1), None, Plan((plugin,), ("call",), Limits(300, 60)))
    assert found.engines == ("reference",)
    assert {t.judgement.verdict.value for t in found.tallies} == {"crash"}


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize("name", ["write", "sweep", "longjmp", "clobber"])
def test_registers_in_batches_say_the_same(arch: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = next(p for p in catalogue() if (p.arch, p.name) == (arch, name)).make()
    unwinders = (unwinder("fp"), *DESIGNS[:4], unwinder("oracle"))
    plan = Plan(unwinders, ("boundary", "call"), Limits(3_000, 60), stacks=3)
    by_pointer = NativeEngine(image, None, plan).run()
    monkeypatch.setenv(VARIABLE, "batch")
    engine = NativeEngine(image, None, plan)
    assert engine.state.registers.how == "batch"
    assert not difference(case(image, unwinders), by_pointer, engine.run())


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_registers_in_batches_against_the_reference(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "batch")
    for seed in range(3):
        assert_agree(case(random_program(arch, seed), (unwinder("fp"), unwinder("oracle"))))
