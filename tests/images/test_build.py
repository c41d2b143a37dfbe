"""Builds are functions of their inputs: equal inputs give equal bytes, a changed one a new image."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.arch import AARCH64, ARCHES, X86_64, Arch
from lab.errors import InputError, ToolchainError, UnsupportedError
from lab.images.build import build
from lab.images.cache import cache_folder, cached, key_of
from lab.images.toolchain import find_compiler
from lab.images.workloads import Workload, read_workload, workload_by_name

SOURCE = """/*
 * title: A sample
 * rows: 1
 * expect: small 0x0000000000000003 large 0x0000000000000003
 */
#include "rt.h"
u64 lab_main(u64 large) { return 3 + 0 * large; }
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setenv("UNWINDLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def sample(folder: Path, text: str = SOURCE) -> Workload:
    folder.mkdir(exist_ok=True)
    (folder / "sample.c").write_text(text)
    return read_workload(folder / "sample.c")


def files(folder: Path) -> dict[str, int]:
    """Every file of a cache and when it was written."""
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("arch", [pytest.param(a, id=a.name) for a in ARCHES])
def test_two_cache_folders_hold_the_same_bytes(arch: Arch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = []
    for name in ("a", "a-much-longer-name/below"):
        monkeypatch.setenv("UNWINDLAB_CACHE", str(tmp_path / name))
        images.append(build(workload_by_name("tree"), arch, ("-fxray-instrument", "-fxray-instruction-threshold=1")))
    assert images[0] != images[1]
    assert images[0].name == images[1].name
    assert images[0].read_bytes() == images[1].read_bytes()


def test_equal_sources_in_two_folders_are_one_image(cache: Path, tmp_path: Path) -> None:
    first = build(sample(tmp_path / "one"), AARCH64)
    written = files(cache)
    assert build(sample(tmp_path / "two"), AARCH64) == first
    assert files(cache) == written


def test_a_second_build_writes_nothing(cache: Path, tmp_path: Path) -> None:
    workload = sample(tmp_path)
    first = build(workload, X86_64)
    written = files(cache)
    assert build(workload, X86_64) == first
    assert files(cache) == written
    assert first.is_relative_to(cache)


def test_whatever_changes_the_image_changes_its_key(cache: Path, tmp_path: Path) -> None:
    workload = sample(tmp_path)
    images = {
        build(workload, AARCH64),
        build(workload, X86_64),
        build(workload, AARCH64, size="large"),
        build(workload, AARCH64, ("-ffixed-x18",)),
        build(workload, AARCH64, ("-ffixed-x18", "-O1")),
        build(workload, AARCH64, ("-O1", "-ffixed-x18")),
        build(sample(tmp_path, SOURCE.replace("3 + 0", "4 + 0")), AARCH64),
    }
    assert len(images) == 7


def test_a_changed_header_beside_the_source_is_noticed(cache: Path, tmp_path: Path) -> None:
    text = SOURCE.replace('"rt.h"', '"rt.h"\n#include "own.h"').replace("3 +", "OWN +")
    (tmp_path / "own.h").write_text("#define OWN 3\n")
    first = build(sample(tmp_path, text), AARCH64).read_bytes()
    (tmp_path / "own.h").write_text("#define OWN 5\n")
    assert build(sample(tmp_path, text), AARCH64).read_bytes() != first


def test_flags_of_the_header_reach_only_what_they_should(cache: Path, tmp_path: Path) -> None:
    text = SOURCE.replace(" * rows", " * flags: -DOWN=3\n * rows").replace("3 +", "OWN +")
    assert build(sample(tmp_path, text), AARCH64).is_file()
    with pytest.raises(ToolchainError, match=r"sample\.c.*OWN"):
        build(sample(tmp_path, text.replace(" * flags: -DOWN=3\n", "")), AARCH64)


def test_another_compiler_version_is_another_image(cache: Path, tmp_path: Path) -> None:
    real = find_compiler()
    other = dataclasses.replace(real, version="0.0")
    assert build(sample(tmp_path), AARCH64, compiler=real) != build(sample(tmp_path), AARCH64, compiler=other)


def test_failures_name_the_cause_and_leave_nothing_half_made(cache: Path, tmp_path: Path) -> None:
    workload = sample(tmp_path)
    with pytest.raises(ToolchainError, match="no-such-flag"):
        build(workload, AARCH64, ("-fno-such-flag-at-all",))
    with pytest.raises(ToolchainError, match=r"sample\.c:7:.* error: "):
        build(sample(tmp_path, SOURCE.replace("return", "retrun")), AARCH64)
    assert not [name for name in files(cache) if "building" in name or name.startswith("images")]
    with pytest.raises(InputError, match="unknown input size 'huge'; known: small, large"):
        build(workload, AARCH64, size="huge")
    only = sample(tmp_path, SOURCE.replace(" * rows", " * arches: x86_64\n * rows"))
    with pytest.raises(UnsupportedError, match="'sample' is not for aarch64"):
        build(only, AARCH64)
    absent = sample(tmp_path, SOURCE.replace(" * rows", " * musl: no/such.c\n * rows"))
    with pytest.raises(InputError, match=r"sample\.c: musl in the installed wheel has no 'no/such\.c'"):
        build(absent, AARCH64)


def test_concurrent_builders_agree(cache: Path, tmp_path: Path) -> None:
    workload = sample(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        images = set(pool.map(lambda _: build(workload, AARCH64), range(4)))
    assert len(images) == 1
    assert not [name for name in files(cache) if "building" in name]


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNWINDLAB_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("UNWINDLAB_CACHE")
    assert cache_folder() == tmp_path / "shared" / "unwindlab"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/invalid")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "unwindlab"


def test_an_unusable_cache_is_the_users_to_mend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("UNWINDLAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot write the cache: .*set \$UNWINDLAB_CACHE"):
        build(workload_by_name("leaf"), AARCH64)


def test_a_failing_maker_leaves_no_file(cache: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise ToolchainError("no")

    with pytest.raises(ToolchainError, match="no"):
        cached("objects/x.o", fail)
    assert files(cache) == {}


def test_keys_frame_their_parts() -> None:
    assert key_of(["ab", "c"]) != key_of(["a", "bc"])
    assert key_of(["a", b"b"]) == key_of([b"a", "b"])
