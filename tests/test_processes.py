"""A real program before and after a rewrite: output, exit code and system calls must be the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lab.balance import check_balance_plainly
from lab.engine.plan import Plan
from lab.engine.run import execute
from lab.errors import InputError, RefusedError
from lab.images.image import load_image
from lab.images.rebase import HOME, rebased, way_home
from lab.layout import Flavour, Policy
from lab.machine.machine import End, Limits, Machine, Process
from lab.rebased import rebased_map
from lab.rewriting import dynamic_checks, rewrite_file
from lab.unwind import oracle, scs_lr
from rewriters import rewrite
from tests.commands.calls import call
from tests.support import ARCH_NAMES, compile_c

PROGRAM = """
static long call(long n, long a, long b, long c) {
  register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = 8;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
}
__attribute__((noinline)) long say(const char *text, long size) { return call(64, 1, (long)text, size) + 1; }
__attribute__((noinline)) long twice(const char *text) { return say(text, 2) + say(text + 2, 2); }
int test_main(void) { PLANTED return twice("hi\\nx") == 6 ? 3 : 4; }
"""
PAC = ("-mbranch-protection=pac-ret", "-ffixed-x18")
LIMITS = Limits(100_000, 60)
PROCESS = Process(("program", "argument"), ("A=1",))


def image(planted: str = "", *flags: str):
    return compile_c("aarch64", PROGRAM.replace("PLANTED", planted), *PAC, *flags)


def test_the_checks_compare_system_calls(tmp_path: Path) -> None:
    out = tmp_path / "out.elf"
    made = rewrite_file(image().path, out, "pac", Flavour.MEMORY, Policy.CHECK, process=PROCESS)
    assert made.checks["same_result"] == made.checks["same_system_calls"] == made.checks["shadow_balance"] == "passed"
    assert made.checks["system_calls"] == 3
    assert made.checks["result"] == r"exit 3 'hi\nx'"


def test_without_a_process_the_checks_are_as_they_were(tmp_path: Path) -> None:
    made = rewrite_file(image().path, tmp_path / "out.elf", "pac", Flavour.MEMORY, Policy.CHECK)
    assert "system_calls" not in made.checks
    assert made.checks["same_result"] == "passed"


def test_a_call_more_is_refused_although_the_result_is_the_same(tmp_path: Path) -> None:
    old, other = image(), image("call(172, 0, 0, 0);")  # getpid
    result = rewrite(other, "pac", "memory", Policy.CHECK)
    path = tmp_path / "new"
    path.write_bytes(result.data)
    new = load_image(path)
    assert dynamic_checks(old, new, result.map, LIMITS)["same_result"] == "passed"
    with pytest.raises(RefusedError, match=r"system call 1: write\(1, image, 2\) .* became getpid\(\) = 1000"):
        dynamic_checks(old, new, result.map, LIMITS, PROCESS)


def test_on_the_command_line(tmp_path: Path) -> None:
    root, stdin, out = tmp_path / "root", tmp_path / "stdin", tmp_path / "out"
    root.mkdir()
    stdin.write_bytes(b"typed")
    options = ["--mode", "pac", "--flavour", "memory", "--policy", "use", "-o", str(out)]
    result = call("rewrite", str(image().path), *options, "--root", str(root), "--stdin", str(stdin), "--", "p", "-x")
    assert result.exit_code == 0, result.stderr
    assert "system calls before and after: passed (3)" in result.stdout
    refused = call("rewrite", str(image().path), *options, "--env", "A=1")
    assert (refused.exit_code, "add -- ARGV" in refused.stderr) == (2, True)
    absent = call("rewrite", str(image().path), *options, "--root", str(tmp_path / "none"), "--", "p")
    assert (absent.exit_code, "cannot be the root of a process" in absent.stderr) == (2, True)
    plain = call("rewrite", str(image().path), *options, "--json", "--", "p")
    assert json.loads(plain.stdout)["checks"]["same_system_calls"] == "passed"


HANDLED = PROGRAM.replace(
    "int test_main",
    """
static long seen;
__attribute__((noinline)) long inner(long x) { return call(178, 0, 0, 0) == 1000 ? x : 0; }
__attribute__((noinline)) void handler(int number) { seen += inner(number) + inner(1); }
__attribute__((noinline)) long raised(int number) { return call(131, 1000, 1000, number) + seen; }
int test_main""",
).replace(
    "PLANTED",
    """
  struct { void (*handler)(int); unsigned long flags; void *restorer; unsigned long mask; } action = { handler };
  call(134, 10, (long)&action, 0);
  if (raised(10) != 11 || raised(10) != 22) return 9;
""",
)


@pytest.mark.parametrize("flavour", ["memory", "register", "parallel"])
def test_a_handler_that_carries_a_shadow_stack_is_in_balance(flavour: str, tmp_path: Path) -> None:
    """The kernel calls the handler: its entry on the shadow stack is the address it returns to."""
    built = compile_c("aarch64", HANDLED, *PAC)
    made = rewrite_file(built.path, tmp_path / "out", "pac", flavour, Policy.CHECK, process=PROCESS)
    assert made.checks["result"] == r"exit 3 'hi\nx'"
    assert made.checks["same_system_calls"] == made.checks["shadow_balance"] == "passed"
    new = load_image(tmp_path / "out")
    plain = check_balance_plainly(new, made, LIMITS, PROCESS)
    assert (plain.problem, plain.checked) == ("", made.checks["shadow_balance_stops"])
    outcome = Machine(new, made.layout, LIMITS, PROCESS).execute_native(0, 0)
    assert outcome.trace is not None
    assert [c.name for c in outcome.trace.calls].count("rt_sigreturn") == 2


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_position_independent_image_can_move(arch: str, tmp_path: Path) -> None:
    fixed = compile_c(arch, "int test_main(void) { return 5; }")
    with pytest.raises(InputError, match="fixed addresses"):
        rebased(fixed, HOME)
    raw = bytearray(fixed.path.read_bytes())
    raw[16] = 3  # ET_DYN: this code has no absolute address in it
    path = tmp_path / "pie"
    path.write_bytes(raw)
    pie = load_image(path)
    assert way_home(pie) == 0  # it has addresses of its own
    with pytest.raises(InputError, match="whole pages"):
        rebased(pie, 8)
    moved = rebased(pie, 0x10_0000)
    outcome = Machine(moved, None, LIMITS, Process(("p",))).execute(lambda pc: None)
    assert (outcome.end, outcome.status) == (End.EXIT, 5)
    assert outcome.pc - 0x10_0000 == Machine(pie, None, LIMITS, Process(("p",))).execute(lambda pc: None).pc
    assert moved.headers.address == pie.headers.address + 0x10_0000
    assert moved.locate(moved.entry) == pie.locate(pie.entry)


def test_a_map_moves_with_its_image(tmp_path: Path) -> None:
    """The layout still says where every return address is: scs-lr is as right as before."""
    built = image()
    out = tmp_path / "out"
    made = rewrite_file(built.path, out, "pac", Flavour.MEMORY, Policy.RECORD, process=PROCESS)
    assert rebased_map(made, 0) == made
    moved = rebased_map(made, 0x1000)
    assert moved.layout.cell == (made.layout.cell or 0) + 0x1000
    assert [r.start - 0x1000 for r in moved.layout.rows] == [r.start for r in made.layout.rows]
    assert moved.inserted[0].start == made.inserted[0].start + 0x1000
    raw = bytearray(out.read_bytes())
    raw[16] = 3
    path = tmp_path / "pie"
    path.write_bytes(raw)
    plan = Plan((oracle.UNWINDER, scs_lr.UNWINDER), ("boundary",), LIMITS, process=PROCESS)
    here = execute(load_image(out), made, plan)
    assert here.outcome.status == 3
    verdicts = [(t.pc, t.unwinder, t.judgement.verdict) for t in here.tallies]
    there = execute(rebased(load_image(path), 0), replace(made, output_sha256=""), plan)
    assert [(t.pc, t.unwinder, t.judgement.verdict) for t in there.tallies] == verdicts


@pytest.mark.parametrize("compiler", ["gcc", "aarch64-linux-gnu-gcc"])
def test_static_pie_of_the_c_library_runs_where_it_is_put(compiler: str, tmp_path: Path) -> None:
    """It relocates itself from where it finds itself; before that, page 0 is where it was linked."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    import subprocess

    source = tmp_path / "p.c"
    source.write_text('#include <stdio.h>\nint main(int c, char **v) { printf("%d %s\\n", c, v[1]); return 6; }\n')
    done = subprocess.run(
        [compiler, "-O2", "-static-pie", "-fPIE", "-o", str(tmp_path / "p"), str(source)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"{compiler} cannot make a static PIE here")
    pie = load_image(tmp_path / "p")
    assert way_home(pie) == HOME
    with pytest.raises(InputError, match="keeps for itself"):
        Machine(pie, None, LIMITS, Process(("p", "x")))
    outcome = Machine(rebased(pie, HOME), None, Limits(10_000_000, 60), Process(("p", "x"))).execute_native(0, 0)
    assert (outcome.end, outcome.status, outcome.output) == (End.EXIT, 6, b"2 x\n")
