"""What is compared: ways to run a bench program, from bare unicorn to a walk in plain Python.

Every configuration runs the same image.  ``bare`` is unicorn alone, ``counting`` the least a compiled hook can do
and ``python-walk`` what people write today (``lab.machine.plain``); between them the lab's engines in mode
``boundary``, the exception overlay included, with no stacks kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lab import registry
from lab.bench.counting import execute_counting
from lab.bench.programs import set_rounds
from lab.bench.subjects import EIGHT, JUDGED, LIMITS, Subject
from lab.engine.native.engine import NativeEngine
from lab.engine.plan import Plan
from lab.engine.reference import ReferenceEngine
from lab.engine.run import not_native
from lab.errors import EngineError
from lab.machine.machine import End, Machine, Outcome
from lab.machine.outcome import Clock
from lab.machine.plain import walk_in_python

BARE, COUNTING, NATIVE, NO_MEMO, REFERENCE, PYTHON = (
    *("bare", "counting", "native", "native-no-memo", "reference", "python-walk"),
)
WORK = "bench_calls"
"""The function in which the call-heavy programs do all their work, and the clock of ``python-walk`` starts."""


@dataclass(frozen=True)
class Sample:
    """One execution: the instructions of the time that was taken, that time, what the guest printed, and how the native
    engine reached the registers (``pointer``, or the slower ``batch``; "" for other engines).
    """

    instructions: int
    spent: Clock
    output: bytes
    registers: str = ""


@dataclass(frozen=True)
class Configuration:
    """One way to run a program.  ``unwinders`` are names; those of ``python-walk`` say what it does by itself."""

    engine: str
    unwinders: tuple[str, ...] = ()

    def run(self, subject: Subject, rounds: int) -> Sample:
        """*rounds* rounds of *subject*.  EngineError where it did not retire exactly the instructions of so many."""
        return _RUN[self.engine](self, subject, rounds)

    @property
    def deep(self) -> bool:
        """Whether it can be asked for programs a thousand frames deep: not where it walks all of them at each of the
        some ten thousand instructions of the way there, so that the work itself would be the smaller part.
        """
        return self.engine not in {NO_MEMO, REFERENCE}


def configurations(subject: Subject) -> list[Configuration]:
    """Those that are run on *subject*, ``bare`` first."""
    every = [u for u in registry.all_unwinders() if u.unsupported(subject.arch.name, True) is None]
    all_native = tuple(u.name for u in every if not not_native(u))
    found = [
        Configuration(BARE),
        Configuration(COUNTING),
        *(Configuration(NATIVE, names) for names in ((), JUDGED[:1], JUDGED, EIGHT[subject.arch.name], all_native)),
        Configuration(NO_MEMO, JUDGED),
        Configuration(REFERENCE, JUDGED),
        Configuration(PYTHON, JUDGED[:1]),
    ]
    shallow = subject.length.fixed < subject.length.per_round
    return [configuration for configuration in found if shallow or configuration.deep]


# -- one execution ------------------------------------------------------------------------------------------


def _bare(_self: Configuration, subject: Subject, rounds: int) -> Sample:
    machine = subject.machine(rounds)
    outcome = machine.execute_native(0, 0)
    return _sample(subject, rounds, subject.length.instructions(rounds), outcome, machine)


def _counting(_self: Configuration, subject: Subject, rounds: int) -> Sample:
    machine = subject.machine(rounds)
    outcome, calls = execute_counting(machine)
    expected = subject.hook_calls.instructions(rounds)
    if calls != expected:
        raise EngineError(f"{subject.image.path}: {calls} calls of a hook in {rounds} rounds, expected {expected}")
    return _sample(subject, rounds, subject.length.instructions(rounds), outcome, machine)


def _engine(self: Configuration, subject: Subject, rounds: int) -> Sample:
    unwinders = tuple(registry.unwinder(name) for name in self.unwinders)
    plan = Plan(unwinders, ("boundary",), LIMITS, stacks=0, memo=self.engine != NO_MEMO)
    make = ReferenceEngine if self.engine == REFERENCE else NativeEngine
    engine = make(subject.image, subject.rewrite, plan)
    set_rounds(engine.machine, subject.image, rounds)
    done = engine.run()
    how = engine.state.registers.how if isinstance(engine, NativeEngine) else ""
    return replace(_sample(subject, rounds, done.instructions, done.outcome, engine.machine), registers=how)


def _python(_self: Configuration, subject: Subject, rounds: int) -> Sample:
    wanted = rounds * subject.length.per_round
    machine = subject.machine(rounds + 1)
    done = walk_in_python(machine, subject.image.symbols.get(WORK, subject.image.entry), wanted)
    if done.outcome.end is not End.BUDGET or done.instructions != wanted:
        raise EngineError(f"{subject.image.path}: walked at {done.instructions} instructions of {wanted}")
    return Sample(wanted, done.spent, b"")


_RUN: dict[str, Callable[[Configuration, Subject, int], Sample]] = {
    BARE: _bare,
    COUNTING: _counting,
    NATIVE: _engine,
    NO_MEMO: _engine,
    REFERENCE: _engine,
    PYTHON: _python,
}


def _sample(subject: Subject, rounds: int, instructions: int, outcome: Outcome, machine: Machine) -> Sample:
    """EngineError unless the program came to its end, and in just the instructions that *rounds* rounds take."""
    expected = subject.length.instructions(rounds)
    if outcome.end is not End.EXIT or outcome.status != 0 or instructions != expected:
        how = f"{instructions} instructions, {outcome.result} {outcome.detail}".rstrip()
        raise EngineError(f"{subject.image.path}: {rounds} rounds: {how}; expected {expected} and exit 0")
    return Sample(instructions, machine.spent, outcome.output)
