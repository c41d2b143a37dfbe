"""Nothing that goes wrong in the hook or in what it calls is lost, and no wrong count gets out."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.engine.native import tables
from lab.engine.native.cells import COVERS, P, S
from lab.engine.native.classify import CALL, Classified, classify
from lab.engine.native.engine import NativeEngine
from lab.engine.native.events import NotNative
from lab.engine.plan import Execution, Plan
from lab.engine.reference import ReferenceEngine
from lab.engine.run import execute
from lab.errors import EngineError, InputError
from lab.images.image import Image
from lab.interrupts import stoppable
from lab.machine.machine import End, Limits, Outcome
from lab.registry import load_unwinder, unwinder
from tests.engine.native.agreement import case, difference
from tests.engine.smashing import random_program
from tests.support import ARCH_NAMES, assemble

FP = (unwinder("fp"),)
BOTH = ("boundary", "call")
REP = """
FUNC test_main
 push %rbp
 mov %rsp, %rbp
 sub $64, %rsp
 mov %rsp, %rdi
 mov $7, %ecx
 xor %eax, %eax
 rep stosq
 mov $0, %ecx
 rep stosq
 nop
 xor %eax, %eax
 leave
 ret
END test_main
"""
SPIN = {
    "aarch64": "FUNC test_main\n1: add x9, x9, #1\n b 1b\nEND test_main\n",
    "x86_64": "FUNC test_main\n1: inc %rax\n jmp 1b\nEND test_main\n",
}
OFF_STACK = {
    "aarch64": "FUNC test_main\n mov x9, #4096\n mov sp, x9\n nop\n nop\nEND test_main\n",
    "x86_64": "FUNC test_main\n mov $4096, %rsp\n nop\n nop\nEND test_main\n",
}


def native(image: Image, limits: Limits | None = None, modes: tuple[str, ...] = BOTH) -> NativeEngine:
    return NativeEngine(image, None, Plan(FP, modes, limits or Limits(), stacks=0))


class Planned(Exception):  # noqa: N818
    """Raised on purpose."""


@pytest.mark.parametrize("error", [Planned("classify"), KeyboardInterrupt(), MemoryError(), SystemExit(3)])
def test_an_exception_in_a_callback_is_raised_by_the_run(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def failing(arch: object, code: bytes, pc: int) -> Classified:
        seen.append(pc)
        if len(seen) == 9:
            raise error
        return classify(arch, code, pc)  # type: ignore[arg-type]

    monkeypatch.setattr(tables, "classify", failing)
    engine = native(random_program("aarch64", 1))
    with pytest.raises(type(error)) as raised:
        engine.run()
    assert raised.value is error
    assert len(seen) == 9


@pytest.mark.parametrize("name", ["truth", "entries", "nodes"])
def test_no_room_to_grow(name: str) -> None:
    """A table that cannot grow is not written beyond its end."""
    engine = native(random_program("aarch64", 1))

    def full(_name: str) -> None:
        raise MemoryError(name)

    engine.state.grow = full  # type: ignore[method-assign]
    limit = {"truth": S.TRUTH_LIMIT, "entries": S.ENTRY_LIMIT, "nodes": S.NODE_LIMIT}[name]
    engine.state[limit] = 2
    behind = engine.state.arrays[name][2:].copy()
    with pytest.raises(MemoryError, match=name):
        engine.run()
    assert (engine.state.arrays[name][2:] == behind).all()


@pytest.mark.parametrize("caught", [True, False], ids=["stoppable", "plain"])
def test_a_signal_during_native_code_ends_the_run(caught: bool, capfd: pytest.CaptureFixture[str]) -> None:
    """Python runs its handler at the first line of the next callback, before that can catch anything."""
    engine = native(assemble("aarch64", SPIN["aarch64"]), Limits(10**9, 60))
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        if caught:
            with stoppable():
                engine.run()
        else:
            engine.run()
    assert capfd.readouterr().err == ""


def poke(engine: NativeEngine, change: Callable[[NativeEngine], None]) -> None:
    """Have *change* act after the run and before its counts are looked at."""
    tallies = engine._tallies

    def changed(outcome: Outcome) -> object:
        change(engine)
        return tallies(outcome)

    engine._tallies = changed  # type: ignore[method-assign, assignment]


def test_counts_that_do_not_sum_are_an_error() -> None:
    def one_more(engine: NativeEngine) -> None:
        engine.state.arrays["entries"][1, 2] += 1

    engine = native(random_program("aarch64", 1))
    poke(engine, one_more)
    with pytest.raises(EngineError, match=r"verdicts for \d+ stops.*fault of the lab"):
        engine.run()


def test_a_stop_without_all_verdicts_is_an_error() -> None:
    def no_vector(engine: NativeEngine) -> None:
        engine.state.arrays["entries"][1, 1] &= 0xFFFF_FFFF

    engine = native(random_program("aarch64", 1))
    poke(engine, no_vector)
    with pytest.raises(EngineError, match="without all verdicts"):
        engine.run()


def test_what_raises_in_compiled_code_is_not_counted() -> None:
    """It returns 0, which reads as exact: a walk that began and did not end gives it away."""

    def under_way(engine: NativeEngine) -> None:
        engine.state.unwinders[0].block[P.UNDER_WAY] = 1

    engine = native(random_program("aarch64", 1))
    poke(engine, under_way)
    with pytest.raises(NotNative, match="its compiled code raised an exception") as raised:
        engine.run()
    assert raised.value.index == 0
    normal = native(random_program("aarch64", 1))
    normal.run()
    assert normal.state.unwinders[0].block[P.UNDER_WAY] == 0


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_wrong_verdict_is_noticed_where_python_looks(arch: str) -> None:
    """The stacks that are kept are judged by the reference engine's code as well."""
    engine = NativeEngine(random_program(arch, 1), None, Plan(FP, BOTH, stacks=8))
    code = engine.state.unwinders[0].code
    engine.state.unwinders[0].code = lambda mode: code(mode) ^ COVERS  # type: ignore[method-assign]
    with pytest.raises(EngineError, match=r"native .*, reference "):
        engine.run()


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_sp_off_the_stack_has_the_same_message(arch: str) -> None:
    image, said = assemble(arch, OFF_STACK[arch]), []
    for kind in (NativeEngine, ReferenceEngine):
        with pytest.raises(InputError) as raised:
            kind(image, None, Plan(FP, BOTH)).run()
        said.append(str(raised.value))
    assert said[0] == said[1]
    assert "SP 0x1000 left the machine's stack at test_main" in said[0]


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_call_that_the_processor_does_not_know(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instruction that is no call, taken for one, is an error of the run."""
    image = random_program(arch, 1)
    entry = image.symbols["test_main"]

    def wrong(arch: object, code: bytes, pc: int) -> Classified:
        found = classify(arch, code, pc)  # type: ignore[arg-type]
        return found._replace(flags=found.flags | CALL) if pc == entry else found

    monkeypatch.setattr(tables, "classify", wrong)
    with pytest.raises(EngineError, match="decoder and processor disagree"):
        native(image).run()


def budget(image: Image, instructions: int) -> Execution:
    """Both engines' end at *instructions*, compared."""
    plan = Plan(FP, BOTH, Limits(instructions, 60))
    expected, found = execute(image, None, plan, "reference"), execute(image, None, plan)
    said = difference(case(image, FP), expected, found)
    assert not said, said
    return found


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_instruction_limit(arch: str) -> None:
    image = random_program(arch, 1)
    whole = execute(image, None, Plan(FP, BOTH)).instructions
    for limit in (0, 1, 57, whole - 1, whole, whole + 1):
        found = budget(image, limit)
        assert found.instructions == min(limit, whole)
        assert found.outcome.end is (End.EXIT if limit >= whole else End.BUDGET)


def test_the_instruction_limit_around_repeated_instructions() -> None:
    image = assemble("x86_64", REP)
    whole = execute(image, None, Plan(FP, BOTH)).instructions
    for limit in range(whole + 1):
        assert budget(image, limit).instructions == limit


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_time_limit(arch: str) -> None:
    found = execute(assemble(arch, SPIN[arch]), None, Plan(FP, BOTH, Limits(10**12, 0.3), stacks=0))
    assert (found.outcome.end, found.outcome.detail) == (End.BUDGET, "0.3 s")
    assert sum(t.stops for t in found.tallies if t.mode == 0) == found.instructions > 1_000


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_no_time_at_all(arch: str) -> None:
    found = execute(assemble(arch, SPIN[arch]), None, Plan(FP, BOTH, Limits(10**12, 0.0)))
    assert (found.outcome.end, found.instructions, found.tallies) == (End.BUDGET, 0, ())


def test_a_name_that_takes_ours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "taken.py"
    path.write_text(
        "from lab.unwind.api import *\nfrom lab.unwind.api import Unwinder\n"
        "def start(mode, pc, regs):\n    return (regs.fp,)\n"
        "def step(mem, cursor):\n    _u_s = 5\n    return END, _u_s, cursor\n"
        "UNWINDER = Unwinder('taken', 'taken', '', start, step)\n"
    )
    found = execute(random_program("aarch64", 1), None, Plan((load_unwinder(path),), BOTH, Limits(100)))
    assert found.notes == ("taken: reference engine: line 5: '_u_s': names that begin with _u_ are taken",)
