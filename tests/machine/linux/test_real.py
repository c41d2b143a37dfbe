"""Real static programs: what they print and how they end, as on this machine's own Linux or in qemu.

Skips by name what is not there: ``make real`` fetches and builds the programs (``lab.images.real``).
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from lab.cost.counts import count, count_plainly
from lab.engine.plan import Plan
from lab.engine.reference import run_reference
from lab.engine.run import execute
from lab.images.image import Image, load_image
from lab.images.real import PROGRAMS, RealProgram, real_program
from lab.machine.machine import End, Limits, Machine, Outcome, Process
from lab.unwind import fp, oracle

ENV = ("LC_ALL=C",)
STDIN = b"c c\nb\na\n"
LIMITS = Limits(200_000_000, 120)

COMMANDS = {
    "busybox": (
        ("echo", "hi", "there"),
        ("ls", "-R"),
        ("ls", "-1", "sub"),
        ("cat", "a.txt", "sub/t", "link"),
        ("cat",),
        ("cat", "none"),
        ("sort", "-n", "-r", "sub/t"),
        ("sed", "-n", "s/x/Y/p;$=", "sub/t"),
        ("awk", '{s+=$1; print NR, $2, sqrt($1)} END {printf "%.10f %s\\n", s/7, substr("hello",2,3)}', "sub/t"),
        ("md5sum", "a.txt", "sub/t"),
        ("sha512sum", "a.txt"),
        ("expr", "6", "*", "7", "+", "1"),
        ("grep", "-c", "zzz", "sub/t"),
        ("find", ".", "-name", "t*"),
        ("tr", "a-z", "A-Z"),
        ("gzip", "-c", "-n", "a.txt"),
        ("factor", "1234567890", "97"),
        ("stat", "-c", "%s %F %n", "a.txt", "sub", "link"),
        ("nosuchapplet",),
        ("sh", "-c", "f() { if [ $1 -le 1 ]; then r=1; else f $(($1-1)); r=$((r*$1)); fi; }; f 10; echo $r *"),
        ("sh", "-c", "read a; read b; echo $b $a; echo x > n; echo y >> n; while read l; do echo $l; done < n; rm n"),
        ("sh", "-c", "trap 'echo got' USR1; kill -USR1 $$; echo done; exit 7"),
        ("sh", "-c", "kill -TERM $$; echo no"),
    ),
    "bash": (
        ("-c", "for ((i=0;i<10;i++)); do s+=$i,; done; echo $s $((2**40))"),
        (
            "-c",
            "f() { if (($1<2)); then R=$1; else f $(($1-1)); local a=$R; f $(($1-2)); ((R+=a)); fi; }; f 9; echo $R",
        ),
        (
            "-c",
            "declare -A m; m[a]=1; m[b]=2; for k in a b; do echo $k=${m[$k]}; done; a=(3 1 2); echo ${#a[@]} ${a[@]:1}",
        ),
        ("-c", 'while read -r n w; do echo "$w:$n"; done < sub/t; mapfile -t L; echo ${L[2]}'),
        ("-c", 'read x <<< "here"; echo $x; printf "%s %05.2f %q\\n" abc 3.14159 "a b"'),
        ("-c", "[[ hello =~ ^h(.*)o$ ]] && echo ${BASH_REMATCH[1]}; case abc in a*) echo yes;; esac"),
        ("-c", 'trap "echo caught" USR1; kill -USR1 $$; trap "echo bye" EXIT; echo out; echo err >&2; exit 3'),
        ("-c", "kill -KILL $$"),
        ("-c", "s=abcdefghij; echo ${s:2:3} ${s/cd/XX} ${s^^}; echo {1..5} *.txt; set -e; false; echo no"),
    ),
    "glibc": ((), ("5",)),
    "musl": ((), ("5",)),
    "cxx": ((),),
}


@dataclass(frozen=True)
class Native:
    """Exit status, or minus the signal's number; output and errors together."""

    status: int
    output: bytes


def filled(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("hello\n")
    (folder / "sub" / "t").write_text("3 x\n1 y\n2 z\n")
    (folder / "link").symlink_to("a.txt")
    for path in (folder / "a.txt", folder / "sub" / "t"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return folder


def kind(program: RealProgram) -> str:
    return program.name.split("-")[0]


@cache
def image(name: str) -> Image:
    path = real_program(name)
    if path is None:
        pytest.skip(f"{name} is not there: make real")
    return load_image(path)


def process(program: RealProgram, arguments: tuple[str, ...], root: Path | None) -> Process:
    return Process((kind(program), *arguments), ENV, STDIN, root)


def native(program: RealProgram, arguments: tuple[str, ...], folder: Path) -> Native:
    """The same program on a real Linux, or in qemu's.  Skips where there is neither."""
    path = str(image(program.name).path)
    words = [kind(program), *arguments]
    executable: str | None = path
    if platform.machine() != program.arch:
        qemu = shutil.which(f"qemu-{program.arch}") or shutil.which(f"qemu-{program.arch}-static")
        if qemu is None:
            pytest.skip(f"no qemu-{program.arch} to run {program.name} with")
        words, executable = [qemu, "-0", words[0], path, *arguments], None
    done = subprocess.run(
        words,
        executable=executable,
        cwd=folder,
        env=dict(text.split("=", 1) for text in ENV),
        input=STDIN,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    return Native(done.returncode, done.stdout)


def as_native(outcome: Outcome) -> Native:
    assert outcome.end in {End.EXIT, End.SIGNAL}, outcome
    assert outcome.status is not None
    return Native(-outcome.status if outcome.end is End.SIGNAL else outcome.status, outcome.output)


EACH = [
    pytest.param(program, arguments, id=f"{program.name} {' '.join(arguments)[:40]}")
    for program in PROGRAMS
    for arguments in COMMANDS[kind(program)]
]


@pytest.mark.parametrize(("program", "arguments"), EACH)
def test_prints_and_ends_as_on_linux(program: RealProgram, arguments: tuple[str, ...], tmp_path: Path) -> None:
    built = image(program.name)
    expected = native(program, arguments, filled(tmp_path / "native"))
    root = filled(tmp_path / "root")
    started = process(program, arguments, root)
    outcome = Machine(built, None, LIMITS, started).execute_native(0, 0)
    assert as_native(outcome) == expected
    assert sorted(path.name for path in root.rglob("*")) == ["a.txt", "link", "sub", "t"]
    assert outcome.trace is not None
    assert set(dict(outcome.trace.missing)) <= {"rseq"}
    again = Machine(built, None, LIMITS, started).execute_native(0, 0)
    assert again == outcome


SHORT = {
    "busybox-arm64": ("sort", "sub/t"),
    "busybox-amd64": ("sh", "-c", "trap 'echo x' USR1; kill -USR1 $$"),
    "glibc-aarch64": (),
    "musl-x86_64": (),
}


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p.name in SHORT], ids=lambda p: p.name)
def test_both_engines_and_both_counters_agree_on_real_programs(program: RealProgram, tmp_path: Path) -> None:
    """The oracle must be exact at every stop; a signal's delivery is a call that no instruction made."""
    built, root = image(program.name), filled(tmp_path / "root")
    started = process(program, SHORT[program.name], root)
    plan = Plan((oracle.UNWINDER, fp.UNWINDER), ("boundary", "call"), LIMITS, process=started)
    fast, slow = execute(built, None, plan), run_reference(built, None, plan)
    assert fast.engines == ("native", "native")
    assert (fast.outcome, fast.instructions, fast.calls) == (slow.outcome, slow.instructions, slow.calls)
    assert fast.tallies == slow.tallies
    assert {t.judgement.verdict.value for t in fast.tallies if t.unwinder == 0} == {"exact"}
    counted = count(built, None, LIMITS, plan.process)
    assert counted == count_plainly(built, None, LIMITS, plan.process)
    assert counted.instructions == fast.instructions
    assert fast.outcome.trace is not None
    delivered = fast.calls - counted.calls
    returns = sum(call.name == "rt_sigreturn" for call in fast.outcome.trace.calls)
    assert delivered >= returns >= (program.name != "busybox-arm64")
