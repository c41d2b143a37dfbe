"""The command line: what it prints where, which code it exits with, and that no input makes a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.cli import COMMANDS
from lab.errors import EngineError, ToolchainError
from lab.experiment import Experiment
from tests import fakes
from tests.commands.calls import call, one_line, some_run

HEAVY = ("pandas", "matplotlib", "lief", "unicorn", "pydantic", "pyarrow", "numpy", "keystone", "capstone", "rich")


def test_without_a_command_it_prints_its_help_and_is_done() -> None:
    result = call()
    assert result.exit_code == 0
    assert all(name in result.stdout for name in COMMANDS)


@pytest.mark.parametrize("args", [["-h"], ["--help"], *([name, "-h"] for name in COMMANDS)])
def test_help_everywhere(args: list[str]) -> None:
    result = call(*args)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: unwindlab")


def test_version() -> None:
    assert call("--version").stdout == "unwindlab 0.1.0\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["rn"], "unknown command 'rn'; did you mean 'run'?"),
        (["zzz"], "unknown command 'zzz'; known: demo, run"),
        (["run", "--wrkload", "x"], "--workload"),
        (["run", "--workload", "musl_regx"], "--workload: unknown workload 'musl_regx'; did you mean 'musl_regex'?"),
        (["run", "--arch", "riscv"], "--arch: unknown arch 'riscv'; known: aarch64, x86_64"),
        (["run", "--max-instructions", "many"], "not a valid integer"),
        (["run", "--max-instructions", "0"], "--max-instructions: 'max_instructions': Input should be greater"),
        (["run", "absent.toml"], "absent.toml: no such experiment file"),
        (["report", "f00d"], "unknown run 'f00d' in results, results/reference; known: none"),
        (["rerun", "f00d"], "unknown run 'f00d'"),
        (["report"], "Missing argument 'RUN'"),
        (["explain", "absent", "0x0"], "absent: no such file"),
        (["explain", "absent", "0x0", "--unwinder", "fpp"], "unknown unwinder 'fpp'; did you mean 'fp'?"),
        (["explain", "absent", "0x0", "--hit", "0"], "--hit"),
        (["rewrite", "x", "-o", "y", "--mode", "pca", "--flavour", "memory", "--policy", "use"], "'pca' is not one of"),
        (["rewrite", "x"], "Missing option"),
        (["report", "x" * 300], "File name too long"),
        (["explain", "a\nb", "0x0"], "a\\nb: no such file"),
        (["rerun", "a\x1b[31mb"], "unknown run 'a\\x1b[31mb'"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(args: list[str], said: str) -> None:
    assert said in one_line(call(*args), 2)
    assert not Path("results").exists()


def test_every_mistake_of_a_file_is_a_line() -> None:
    Path("x.toml").write_text('modes = ["cal"]\nseeds = 1\n')
    result = call("run", "x.toml")
    assert result.exit_code == 2
    assert sorted(result.stderr.splitlines()) == [
        "unwindlab: x.toml:1: unknown mode 'cal'; did you mean 'call'?",
        "unwindlab: x.toml:2: unknown key 'seeds'; did you mean 'seed'?",
    ]


def test_run_json_is_one_object_with_the_documented_keys() -> None:
    found = some_run()
    cells = found["cells"]
    assert Path(found["path"]).name == found["run_id"]
    assert (Path(found["path"]) / "run.json").is_file()
    wanted = "arch compiler workload proposal unwinder mode engine stops pcs instructions wall_s verdicts covers doubt"
    for cell in cells:
        assert set(wanted.split()) <= set(cell)
        assert sum(cell["verdicts"].values()) == cell["stops"]
        assert set(cell["verdicts"]) == {"exact", "refused", "missing", "extra", "crash"}
    assert {cell["workload"] for cell in cells} == {"musl_regex"}
    assert {cell["mode"] for cell in cells} == {"boundary", "call"}


def test_run_prints_the_table_and_the_paths() -> None:
    result = call("run", "-o", "elsewhere")
    assert result.exit_code == 0
    assert "Unwind verdict" in result.stdout
    (folder,) = Path("elsewhere").iterdir()
    assert f"wrote {folder / 'mail.txt'}" in result.stdout
    assert (folder / "fig" / "verdicts-aarch64-clang.svg").is_file()
    assert f"wrote {folder / 'fig'}/ ({len(list((folder / 'fig').iterdir()))} files)" in result.stdout
    assert (folder / "mail.txt").read_text() in result.stdout
    assert result.stderr == ""


def test_options_lie_over_the_file() -> None:
    Path("x.toml").write_text('workloads = ["musl_regex"]\nmodes = ["call"]\nseed = 5\n')
    found = json.loads(call("run", "x.toml", "--seed", "6", "--json").stdout)
    assert found["config"]["seed"] == 6
    assert {cell["mode"] for cell in found["cells"]} == {"call"}


def test_an_unwinder_file_is_checked_before_the_run() -> None:
    Path("mine.py").write_text("nothing = 1")
    assert "mine.py: defines no UNWINDER" in one_line(call("run", "--unwinder", "mine.py"), 2)
    Path("mine.py").write_text("UNWINDER = 1")
    first = some_run("--unwinder", "mine.py")
    Path("mine.py").write_text("UNWINDER = 2")
    assert some_run("--unwinder", "mine.py")["run_id"] != first["run_id"]


def test_demo_runs_the_packaged_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch, names=fakes.demo_names)
    result = call("demo")
    assert result.exit_code == 0, result.stderr
    assert "repro: unwindlab rerun " in result.stdout
    assert json.loads(call("demo", "--json").stdout)["warnings"] == []


def test_report_prints_the_stored_run() -> None:
    found = some_run()
    text = call("report", found["run_id"]).stdout
    assert text == (Path(found["path"]) / "mail.txt").read_text()
    assert "Every cell" in call("report", found["run_id"][:6], "--cells").stdout
    assert json.loads(call("report", found["path"], "--json").stdout)["cells"] == found["cells"]


def test_a_half_written_run_is_one_line() -> None:
    found = some_run()
    (Path(found["path"]) / "run.json").write_text('{"schema_version": 1')
    assert "cannot read it as JSON" in one_line(call("report", found["run_id"]), 2)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (EngineError("counts do not sum"), 4, "counts do not sum"),
        (ToolchainError("clang is missing"), 3, "clang is missing"),
        (
            ValueError("two\nlines"),
            4,
            "internal fault: ValueError: two lines (set UNWINDLAB_DEBUG=1 for the traceback)",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_run_that_fails_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    def broken(experiment: Experiment, progress: Any) -> None:
        progress(1, 9, "something")
        raise error

    fakes.install(monkeypatch, run=broken)
    result = call("run")
    assert result.exit_code == code
    assert result.stderr.strip() == f"unwindlab: {said}"
    assert list(Path("results").iterdir()) == []


def test_a_results_path_that_is_a_file_is_said_before_the_run() -> None:
    Path("results").write_text("")
    assert "cannot make the results folder" in one_line(call("run"), 2)


def test_list() -> None:
    found = json.loads(call("list", "--json").stdout)
    assert found["workloads"][0] == {"name": "musl_regex", "rows": [1, 2], "title": "about musl_regex"}
    assert {"workloads", "proposals", "unwinders", "rules", "rewriters", "compilers", "arches", "modes"} == set(found)
    assert all(isinstance(name, str) for name in found["rewriters"])
    assert "  musl_regex" in call("list").stdout


def test_explain_and_doctor() -> None:
    Path("image").write_text("")
    assert call("explain", "image", "0x10").stdout == "explained\n"
    assert json.loads(call("explain", "image", "0x10", "--json").stdout) == {"pc": 1}
    assert call("doctor").stdout == "clang  22.1.8  ok\ngdb    -       missing  x\n"
    assert json.loads(call("doctor", "--json").stdout)["findings"][1]["version"] is None


def python(code: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, **options)


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from lab.cli import cli
try: cli.main(["--help"])
except SystemExit: pass
print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)
"""
    assert python(code).stderr == "[]\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = """
import os, sys
read, write = os.pipe()
os.close(read)
os.dup2(write, 1)
from lab.cli import cli
cli.main(["--help"])
"""
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("shell", "code", "said"), [
    ("> /dev/full", 2, "unwindlab: standard output: No space left on device\n"),
    (">&-", 0, ""),
    ("--bogus 2>&-", 2, ""),
])  # fmt: skip
def test_streams_that_cannot_be_written(shell: str, code: int, said: str) -> None:
    command = f"{sys.executable} -c 'from lab.cli import main; main()' list {shell}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, said)


def test_what_plugins_print_does_not_reach_stdout() -> None:
    code = """
import os, subprocess
from lab.commands.common import stdout_kept
with stdout_kept():
    print("from Python")
    os.write(1, b"from C\\n")
    subprocess.run(["echo", "from a child"])
print("data")
"""
    done = python(code)
    assert done.stdout == "data\n"
    assert sorted(done.stderr.splitlines()) == ["from C", "from Python", "from a child"]


def test_two_unwinders_of_one_name_are_refused() -> None:
    Path("fp.py").write_text("UNWINDER")
    said = one_line(call("run", "--unwinder", "fp", "--unwinder", "fp.py"), 2)
    assert said == "fp.py: its unwinder is called 'fp', as is fp; give it another name"


def test_the_traceback_is_there_for_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ValueError("deep inside")

    fakes.install(monkeypatch, diagnose=broken)
    monkeypatch.setenv("UNWINDLAB_DEBUG", "1")
    result = call("doctor")
    assert result.exit_code == 4
    assert "Traceback" in result.stderr
