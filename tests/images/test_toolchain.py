"""The compiler is found through Python, and everything that can be wrong with it is one line."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import MappingProxyType

import pytest

from lab.arch import AARCH64, ARCHES, Arch
from lab.errors import InputError, ToolchainError
from lab.images import toolchain
from lab.images.toolchain import Compiler, compiler_names, find_compiler, musl_includes, musl_root


@pytest.fixture
def uncached() -> None:
    """Discovery is done once per process; these tests do it anew."""
    toolchain._find_clang.cache_clear()
    toolchain._wheel.cache_clear()


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text


def test_clang_is_found_and_says_its_version() -> None:
    compiler = find_compiler()
    assert compiler.name == "clang"
    assert compiler.version[0].isdigit()
    assert compiler.version in compiler.describe()
    assert "ziglang" in compiler.describe()
    assert compiler.name in compiler_names()


def test_an_unknown_compiler_is_the_users_to_mend() -> None:
    with pytest.raises(InputError, match="unknown compiler 'tcc'; known: clang") as error:
        find_compiler("tcc")
    assert error.value.exit_code == 2


@pytest.mark.parametrize("arch", [pytest.param(a, id=a.name) for a in ARCHES])
def test_musl_and_its_headers_are_there(arch: Arch) -> None:
    assert (musl_root() / "src" / "regex" / "regcomp.c").is_file()
    assert all(folder.is_dir() for folder in musl_includes(arch))


@pytest.mark.usefixtures("uncached")
def test_a_missing_wheel_is_a_toolchain_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for attempt in (find_compiler, musl_root):
        with pytest.raises(ToolchainError, match="'ziglang' is missing; install it") as error:
            attempt()
        assert error.value.exit_code == 3
        one_line(error)


@pytest.mark.usefixtures("uncached")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("#!/bin/sh\nexit 9\n", "exit status 9"),
        ("#!/bin/sh\necho hello\n", "no version in it"),
        ("#!/bin/sh\nkill -9 $$\n", "exit status -9"),
        (None, "cannot run"),
    ],
)
def test_a_broken_compiler_is_a_toolchain_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, reason: str
) -> None:
    if script is not None:
        (tmp_path / "zig").write_text(script)
        (tmp_path / "zig").chmod(0o755)
    monkeypatch.setattr(toolchain, "_wheel", lambda: tmp_path)
    with pytest.raises(ToolchainError, match=reason) as error:
        find_compiler()
    one_line(error)


def test_a_compile_error_gives_the_compilers_first_error_line(tmp_path: Path) -> None:
    (tmp_path / "bad.c").write_text("int f(void) { return nothing; }\nint g(void) { return less; }\n")
    with pytest.raises(ToolchainError, match=r"bad\.c:1:22: error: .*'nothing'") as error:
        find_compiler().compile(AARCH64, ["-c", "bad.c", "-o", "bad.o"], tmp_path)
    assert "less" not in one_line(error)
    assert not (tmp_path / "bad.o").exists()


def test_a_link_error_names_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "use.c").write_text("int absent(void); int _start(void) { return absent(); }\n")
    compiler = find_compiler()
    compiler.compile(AARCH64, ["-c", "use.c", "-o", "use.o"], tmp_path)
    with pytest.raises(ToolchainError, match="undefined symbol: absent") as error:
        compiler.link(["-o", "use.elf", "use.o"], tmp_path)
    one_line(error)


def test_a_hanging_compiler_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "slow"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setattr(toolchain, "TIMEOUT_S", 0.2)
    slow = Compiler("slow", "1", "none", MappingProxyType({"aarch64": (str(script),)}), (str(script),), ())
    with pytest.raises(ToolchainError, match=r"no answer within 0\.2 s"):
        slow.compile(AARCH64, [], tmp_path)


def test_the_users_environment_does_not_reach_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain.c").write_text("int x;\n")
    monkeypatch.setenv("CCC_OVERRIDE_OPTIONS", "+-DBROKEN +-no-such-option")
    find_compiler().compile(AARCH64, ["-c", "plain.c", "-o", "plain.o"], tmp_path)
    assert (tmp_path / "plain.o").exists()
