"""The compiler is found through Python, and everything that can be wrong with it is one line."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType

import pytest

from lab.arch import AARCH64, ARCHES, X86_64, Arch
from lab.errors import InputError, ToolchainError
from lab.images import toolchain
from lab.images.toolchain import (
    Compiler,
    compiler_names,
    find_compiler,
    missing_compiler,
    musl_includes,
    musl_root,
)


@pytest.fixture
def uncached() -> None:
    """Discovery is done once per process; these tests do it anew."""
    for found in (toolchain._find_clang, toolchain._find_gcc, toolchain._wheel):
        found.cache_clear()


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
    with pytest.raises(InputError, match="unknown compiler 'tcc'; known: clang, gcc") as error:
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
    slow = Compiler("slow", "1", "none", MappingProxyType({"aarch64": (str(script),)}), (str(script),), {}, ())
    with pytest.raises(ToolchainError, match=r"no answer within 0\.2 s"):
        slow.compile(AARCH64, [], tmp_path)


def test_the_users_environment_does_not_reach_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain.c").write_text("int x;\n")
    monkeypatch.setenv("CCC_OVERRIDE_OPTIONS", "+-DBROKEN +-no-such-option")
    find_compiler().compile(AARCH64, ["-c", "plain.c", "-o", "plain.o"], tmp_path)
    assert (tmp_path / "plain.o").exists()


@pytest.fixture
def path_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A PATH that holds the named scripts and nothing else."""

    def put(**scripts: str) -> None:
        for name, script in scripts.items():
            place = tmp_path / name.replace("_", "-").replace("x86-64", "x86_64")
            place.write_text(f"#!/bin/sh\n{script}\n")
            place.chmod(0o755)

    finders = (toolchain._find_gcc, toolchain._find_other_clang)
    for finder in finders:
        finder.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    yield put
    for finder in finders:
        finder.cache_clear()


VERSION = "echo 'gcc (Some Linux 12.9-1) 12.2.0'"


def test_gcc_is_the_one_of_each_target(path_with: Callable[..., None]) -> None:
    path_with(aarch64_linux_gnu_gcc=VERSION)
    gcc = find_compiler("gcc")
    assert set(gcc.command) == {"aarch64"}
    assert gcc.version == "aarch64 12.2.0"
    assert missing_compiler("gcc", AARCH64) is None


def test_a_native_gcc_counts_for_its_own_target_only(path_with: Callable[..., None]) -> None:
    path_with(gcc=f"case $1 in -dumpmachine) echo x86_64-any-linux;; *) {VERSION};; esac")
    assert set(find_compiler("gcc").command) == {"x86_64"}


def test_where_there_is_no_gcc_the_reason_names_what_to_install(path_with: Callable[..., None], tmp_path: Path) -> None:
    assert find_compiler("gcc").version == "absent"
    for arch, package in ((AARCH64, "gcc-aarch64-linux-gnu"), (X86_64, "gcc-x86-64-linux-gnu")):
        reason = missing_compiler("gcc", arch)
        assert reason is not None
        assert f"no gcc for {arch.title} here" in reason
        assert f"{arch.triple}-gcc" in reason
        assert package in reason
        with pytest.raises(ToolchainError, match=f"no gcc for {arch.name}: looked for"):
            find_compiler("gcc").compile(arch, [], tmp_path)


@pytest.mark.parametrize("arch", [pytest.param(a, id=a.name) for a in ARCHES])
def test_clang_is_never_missing_without_being_an_error(arch: Arch) -> None:
    assert missing_compiler("clang", arch) is None


def test_a_further_clang_is_the_systems_under_its_packages_name(path_with: Callable[..., None], tmp_path: Path) -> None:
    """The script stands in for it: it answers as Debian's does and hands everything on to the wheel's."""
    wheel = " ".join(find_compiler().command["aarch64"][:2])
    path_with(clang_19=f"case $1 in --version) echo 'Debian clang version 19.1.7 (3)';; *) exec {wheel} \"$@\";; esac")
    found = find_compiler("clang-19")
    assert (found.name, found.version, set(found.command)) == ("clang-19", "19.1.7", {"aarch64", "x86_64"})
    assert "19.1.7" in found.describe()
    assert found.describe() != find_compiler().describe()
    (tmp_path / "plain.c").write_text("int x;\n")
    for arch in ARCHES:
        found.compile(arch, ["-c", "plain.c", "-o", f"{arch.name}.o"], tmp_path)
    machines = [(tmp_path / f"{arch.name}.o").read_bytes()[18:20] for arch in ARCHES]
    assert machines == [arch.elf_machine.to_bytes(2, "little") for arch in ARCHES]
    assert (
        missing_compiler("clang-18", AARCH64)
        == "no clang-18 for arm64 here: looked for clang-18; on Debian install clang-18"
    )
