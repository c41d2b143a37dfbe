"""Proposals in one file: the start that ``new`` writes, what a file may not reach, and what is wrong said in a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import registry
from lab.engine.native.engine import NativeEngine
from lab.engine.plan import Plan
from lab.errors import InputError
from lab.machine.machine import Limits
from lab.selftest.cases import Case
from lab.start import start_text
from lab.unwind.api import Unwinder
from rewriters import flavours
from tests.commands.calls import call, one_line
from tests.engine.random_programs import random_program
from tests.support import ARCH_NAMES, assemble, execute


@pytest.fixture(autouse=True)
def _forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a folder of its own; what a file adds is gone afterwards."""
    monkeypatch.chdir(tmp_path)
    yield
    registry._ADDED.clear()
    flavours.ADDED.clear()


def test_the_start_that_new_writes_runs_as_it_stands_and_can_be_explained() -> None:
    assert call("new", "mine", "--arch", "arm64").stdout == "wrote mine.py; next: unwindlab run mine.py\n"
    assert "exists already" in one_line(call("new", "mine"), 2)
    ran = call("run", "mine.py", "--workload", "longjmp", "--json")
    assert ran.exit_code == 0, ran.stderr
    found = json.loads(ran.stdout)
    named = {(cell["proposal"], cell["unwinder"]) for cell in found["cells"] if cell["stops"]}
    assert {("base", "mine"), ("mine-flags", "fp+mine-rule"), ("mine-shadow", "scs-lr")} <= named
    assert found["config"]["files"] == ["mine.py"]
    missing = {cell["unwinder"]: cell["verdicts"]["missing"] for cell in found["cells"] if cell["mode"] == "boundary"}
    assert missing["fp"] > missing["mine"], "LR first loses fewer callers on arm64"
    registry._ADDED.clear()
    flavours.ADDED.clear()
    again = call("rerun", found["run_id"])
    assert again.stdout == f"identical: {len(found['cells'])} cells\n", again.stderr
    stops = json.loads(call("explain", found["run_id"], "--json").stdout)["stops"]
    for number, stop in enumerate(stops, 1):
        if number % 16 == 1 or (stop["row"]["mode"] == "call" and number % 8 == 0):
            shown = json.loads(call("explain", found["run_id"], str(number), "--json").stdout)
            assert shown["truth"] == stop["row"]["truth_text"]
            (said,) = [one for one in shown["said"] if one["unwinder"] == stop["row"]["unwinder"]]
            assert said["reported"] == stop["row"]["reported_text"]
            assert said["verdict"] == stop["row"]["verdict"]
            assert shown["registers"]["x29"] == stop["row"]["registers"]["x29"]


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_start_for_one_architecture_speaks_of_no_other(arch: str) -> None:
    text = start_text("mine", [arch])
    (other,) = set(ARCH_NAMES) - {arch}
    assert f'"{arch}": "' in text
    assert f'"{other}": "' not in text
    Path("mine.py").write_text(text)
    found = registry.add_file(Path("mine.py"))
    assert [len(part) for part in (found.unwinders, found.rules, found.proposals, found.flavours)] == [1, 1, 2, 1]


REACHING = [
    ("import inspect", "inspect"),
    ("import gc", "gc"),
    ("from lab.truth import TruthStack", "lab.truth.TruthStack"),
    ("import lab.engine.reference", "lab.engine.reference"),
    ("from lab import probe", "lab.probe"),
    ("import sys; sys._getframe(1)", "_getframe"),
    ("import sys; sys.modules", "modules"),
    ("def step(mem, cursor): return mem.load.__self__", "__self__"),
    ("def step(mem, cursor): return mem._load", "_load"),
    ("def step(mem, cursor): return getattr(mem, 'lo' + 'ad')", "getattr"),
    ("try: 1/0\nexcept ZeroDivisionError as e: e.__traceback__.tb_frame.f_back", "f_back"),
    ("exec('x = 1')", "exec"),
    ("__import__('gc')", "__import__"),
    ("def g(): yield\ng().gi_frame", "gi_frame"),
]


@pytest.mark.parametrize(("text", "what"), REACHING)
def test_a_file_that_reaches_for_the_truth_is_refused_with_the_line(text: str, what: str) -> None:
    Path("mine.py").write_text(f"# a comment\n{text}\n")
    for load in (registry.add_file, registry.load_unwinder):
        with pytest.raises(InputError, match=r"^mine.py:[23]: '.*' reaches past what it may see") as caught:
            load(Path("mine.py"))
        assert f"'{what}'" in caught.value.lines[0]


HEAD = """from lab.unwind.api import END, FRAME, Unwinder, load64


def start(mode, pc, regs):
    return (regs.fp,)


def step(mem, cursor):
    BODY
    return END, 0, cursor


UNWINDER = Unwinder("mine", "t", "s", start, step)
"""


def written(body: str) -> Unwinder:
    """The unwinder of a file whose step begins with *body*, in line 9."""
    Path("mine.py").write_text(HEAD.replace("BODY", body))
    return registry.add_file(Path("mine.py")).unwinders[0]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return FRAME, mem.truth, cursor", "mine.py:9: AttributeError: 'View' object has no attribute 'truth'"),
        ("raise ValueError('no\\n idea')", "mine.py:9: ValueError: no idea"),
        ("mem.stack_low = 0", "mine.py:9: AttributeError: mem.stack_low cannot be set"),
        ("return FRAME, 1, cursor", "mine.py: no end after 4096 steps"),
        ("load64(mem, 16)", "mine.py: read outside memory"),
        ("return FRAME, 'x', cursor", "mine.py: return address is a str, not an int"),
    ],
)
def test_what_fails_in_a_step_is_a_crash_with_its_line(body: str, reason: str) -> None:
    image = assemble("aarch64", "FUNC test_main\n mov w0, #0\n ret\nEND test_main\n")
    said = execute(image, written(body), modes=("call",))
    (tally,) = said.tallies
    assert tally.judgement.verdict.value == "crash"
    assert reason in tally.judgement.reason


def test_a_loop_in_a_step_ends() -> None:
    image = assemble("aarch64", "FUNC test_main\n mov w0, #0\n ret\nEND test_main\n")
    said = execute(image, written("while True: pass"), modes=("call",))
    assert "did not end" in said.tallies[0].judgement.reason


POP = '{Policy.RECORD: "sub {s0}, sp, #0xc00, lsl #12; str xzr, [{s0}] !"}'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("str xzr, [{s0}] !", "str xzr, [{s0}, #0] !", "but the bytes 1f0200f9 read back as ['str xzr, [x16]']; write"),
        ("str xzr, [{s0}] !", "strr xzr, [{s0}] !", "keystone rejects 'strr xzr, [x16]'"),
        ("str xzr, [{s0}] !", "str xzr, [{s9}] !", "unknown name 's9'"),
        ("str xzr, [{s0}] !", "@jump {s0} !", "unknown name '@jump'"),
        ("str xzr, [{s0}] !", "str xzr, [{s0}]", "mark the instruction"),
        ('name="mine-shadow"', 'name="register"', "there is a flavour called 'register' already"),
        ('Rewrite("xray", "mine-shadow"', 'Rewrite("xray", "mine-shadw"', "unknown shadow-stack flavour 'mine-shadw'"),
        ('Rewrite("xray"', 'Rewrite("xry"', "unknown rewriter 'xry'"),
        ('Unwinder("mine"', 'Unwinder("fp"', "there is an unwinder called 'fp' already"),
        ('Rule("mine-rule"', 'Rule("a+b"', "one word of letters"),
        ('"workloads": ["tailcall"]', '"workloads": ["tailcal"]', "EXPERIMENT: unknown workload 'tailcal'; did"),
        ('"size": "small"', '"sized": "small"', "EXPERIMENT: unknown key 'sized'; did you mean 'size'?"),
        ("EXPERIMENT = {", "EXPERIMENT = 3\nX = {", "EXPERIMENT must be a dict"),
        ("PROPOSALS = (", "PROPOSALS = 7, (", "PROPOSAL must be a Proposal(...)"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_one_line(old: str, new: str, said: str) -> None:
    text = start_text("mine", ["arm64"])
    assert old in text
    Path("mine.py").write_text(text.replace(old, new, 1))
    line = one_line(call("run", "mine.py"), 2)
    assert line.startswith("mine.py: ")
    assert said in line


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["absent.py"], "absent.py: no such file"),
        (["a.toml", "b.toml"], "b.toml: one experiment file at a time"),
        (["--unwinder", "fp+irq-flg"], "--unwinder: unknown rule 'irq-flg' in 'fp+irq-flg'; did you mean 'irq-flag'?"),
    ],
)
def test_wrong_arguments_are_one_line(args: list[str], said: str) -> None:
    assert said in one_line(call("run", *args), 2)


FP_AGAIN = '''"""fp, written from the README alone."""
from lab.unwind.api import END, FRAME, Unwinder, load64, on_stack, strip


def start(mode, pc, regs):
    return regs.fp, 0


def step(mem, cursor):
    fp, low = cursor
    if fp & 7 or fp < low or not on_stack(mem, fp, 16):
        return END, 0, cursor
    up, ra = load64(mem, fp), load64(mem, fp + 8)
    if up != 0 or ra != 0:
        return FRAME, strip(mem, ra), (up, fp + 16)
    if mem.metadata_offset == 0 or not on_stack(mem, fp, 24) or load64(mem, fp + 16) != 2:
        return END, 0, cursor
    regs = fp - mem.metadata_offset
    return FRAME, load64(mem, regs + mem.regs_pc_offset), (load64(mem, regs + mem.regs_fp_offset), fp + 24)


UNWINDER = Unwinder("fp-again", "frame records", "README", start, step)
'''
SCS_AGAIN = '''"""scs, for a pointer in a register or in memory, written from the README alone."""
from lab.unwind.api import END, FRAME, SHADOW_MEMORY, Reason, Unwinder, load64


def start(mode, pc, regs):
    return 0, regs.ssp


def step(mem, cursor):
    fetched, p = cursor
    if not fetched and mem.shadow_kind == SHADOW_MEMORY:
        p = load64(mem, mem.shadow_cell)
    if p == mem.shadow_base:
        return END, 0, (1, p)
    if p < mem.shadow_base or p > mem.shadow_limit or p & 7:
        return Reason.SHADOW_BOUNDS, 0, (1, p)
    return FRAME, load64(mem, p - 8), (1, p - 8)


UNWINDER = Unwinder("scs-again", "shadow stack", "README", start, step, needs_shadow=True)
'''


def counts(name: str, again: str, arch: str) -> list[object]:
    """Both unwinders' tallies, without their numbers, in the native engine."""
    Path("again.py").write_text(again)
    (mine,) = registry.add_file(Path("again.py")).unwinders
    assert len(again.splitlines()) <= 40
    plan = Plan((registry.unwinder(name), mine), ("boundary", "call"), Limits(20_000, 120), stacks=0)
    if name == "fp":
        engine = NativeEngine(random_program(arch, 3), None, plan)
    else:
        proposal = {"aarch64": "pac-register-use", "x86_64": "xray-memory-check"}[arch]
        subject = Case(arch, "longjmp", proposal).subject()
        engine = NativeEngine(subject.image, subject.rewrite, plan)
    tallies = engine.run().tallies
    assert {t.judgement.verdict.value for t in tallies} > {"exact"}
    return [
        [(t.mode, t.pc, t.dynamic, t.judgement, t.stops) for t in tallies if t.unwinder == index] for index in (0, 1)
    ]


@pytest.mark.parametrize("arch", ARCH_NAMES)
@pytest.mark.parametrize(("name", "again"), [("fp", FP_AGAIN), ("scs", SCS_AGAIN)])
def test_built_ins_written_from_the_readme_in_forty_lines_count_the_same(name: str, again: str, arch: str) -> None:
    built_in, mine = counts(name, again, arch)
    assert built_in == mine
