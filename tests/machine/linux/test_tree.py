"""The root folder as a guest sees it: a copy, and nothing from outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.errors import InputError
from lab.machine.linux import tree
from lab.machine.linux.process import Process
from tests.machine.linux.driver import AT_FDCWD, SCRATCH, Driver
from tests.support import ARCH_NAMES

O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND = 1, 2, 0o100, 0o200, 0o1000, 0o2000


def filled(folder: Path) -> Path:
    """A root with files, links that try to leave it, and a secret beside it."""
    (folder / "secret").write_text("host only")
    root = folder / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "a.txt").write_text("hello\n")
    (root / "sub" / "t").write_text("three\n")
    (root / "abs").symlink_to("/a.txt")
    (root / "out").symlink_to(folder / "secret")
    (root / "up").symlink_to("../../../../../etc/passwd")
    (root / "dots").symlink_to("../../a.txt")
    (root / "sub" / "back").symlink_to("..")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    return root


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_paths_never_leave_the_root(arch: str, tmp_path: Path) -> None:
    driver = Driver(arch, filled(tmp_path))
    assert driver.contents(b"/a.txt") == b"hello\n"
    assert driver.contents(b"abs") == b"hello\n"  # an absolute link starts at the guest's root
    assert driver.contents(b"dots") == b"hello\n"  # .. of the root is the root
    assert driver.contents(b"../../../a.txt") == b"hello\n"
    assert driver.contents(b"sub/back/sub/./back/a.txt") == b"hello\n"
    for path in (b"out", b"up", b"/etc/passwd", b"/proc/self/exe", b"../secret", b"/dev/mem", os.fsencode(tmp_path)):
        assert driver.error("openat", AT_FDCWD, path, 0) == "ENOENT", path
    assert driver.error("openat", AT_FDCWD, b"loop", 0) == "ELOOP"
    assert driver.error("openat", AT_FDCWD, b"fifo", 0) == "ENOENT"
    assert driver.error("openat", AT_FDCWD, b"a.txt/x", 0) == "ENOTDIR"
    assert driver.error("openat", AT_FDCWD, b"x" * 256, 0) == "ENAMETOOLONG"
    assert driver.error("openat", AT_FDCWD, b"y/" * 2500, 0) == "ENAMETOOLONG"


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_what_a_guest_writes_stays_with_it(arch: str, tmp_path: Path) -> None:
    root = filled(tmp_path)
    before = {path: path.lstat().st_mtime_ns for path in [root, *root.rglob("*")]}
    driver = Driver(arch, root)
    number = driver.open(b"new", O_RDWR | O_CREAT)
    assert driver.call("write", number, b"mine", 4) == 4
    number = driver.open(b"a.txt", O_WRONLY | O_APPEND)
    assert driver.call("write", number, b"more", 4) == 4
    assert driver.call("symlinkat", b"/../../tmp", AT_FDCWD, b"escape") == 0
    assert driver.call("mkdirat", AT_FDCWD, b"folder", 0o755) == 0
    assert driver.call("renameat", AT_FDCWD, b"sub/t", AT_FDCWD, b"folder/u") == 0
    assert driver.call("unlinkat", AT_FDCWD, b"abs", 0) == 0
    assert driver.contents(b"a.txt") == b"hello\nmore"
    assert driver.contents(b"folder/u") == b"three\n"
    assert driver.error("openat", AT_FDCWD, b"escape/x", O_WRONLY | O_CREAT) == "ENOENT"
    assert {path: path.lstat().st_mtime_ns for path in [root, *root.rglob("*")]} == before
    assert Driver(arch, root).contents(b"sub/t") == b"three\n"


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_listing_is_the_folder_and_dev_null_is_there_unlisted(arch: str, tmp_path: Path) -> None:
    driver = Driver(arch, filled(tmp_path))
    number = driver.open(b".")
    size = driver.call("getdents64", number, SCRATCH, 4096)
    names, at = [], SCRATCH
    while at < SCRATCH + size:
        (length,) = driver.words(at + 16, "H")
        names.append(driver.memory.read(at + 19, length - 19).rstrip(b"\0"))
        at += length
    assert names == [b".", b"..", b"a.txt", b"abs", b"dots", b"loop", b"out", b"sub", b"up"]
    assert driver.call("getdents64", number, SCRATCH, 4096) == 0
    null = driver.open(b"/dev/null", O_RDWR)
    assert driver.call("write", null, b"gone", 4) == 4
    assert driver.call("read", null, SCRATCH, 10) == 0


def test_the_rules_of_names(tmp_path: Path) -> None:
    driver = Driver("x86_64", filled(tmp_path))
    for expected, *call in [
        ("EEXIST", "mkdir", b"sub", 0o755),
        ("ENOTEMPTY", "rmdir", b"sub"),
        ("EISDIR", "unlink", b"sub"),
        ("ENOTDIR", "rmdir", b"a.txt"),
        ("ENOENT", "unlink", b"none"),
        ("EBUSY", "rmdir", b"/"),
        ("EINVAL", "rename", b"sub", b"sub/deep/sub"),
        ("EEXIST", "link", b"a.txt", b"sub"),
        ("EPERM", "link", b"sub", b"sub2"),
        ("EISDIR", "open", b"sub", O_WRONLY),
        ("EEXIST", "open", b"a.txt", O_CREAT | O_EXCL),
        ("EISDIR", "open", b"none/", O_CREAT),
        ("EINVAL", "readlink", b"a.txt", SCRATCH, 10),
        ("ENOENT", "open", b"", 0),
        ("ENOTDIR", "openat", 0, b"relative", 0),
        ("EBADF", "openat", 77, b"relative", 0),
        ("ENOTDIR", "chdir", b"a.txt"),
    ]:
        assert driver.error(*call) == expected, call
    assert driver.call("link", b"a.txt", b"again") == 0
    assert driver.call("unlink", b"a.txt") == 0
    assert driver.contents(b"again") == b"hello\n"


def test_a_folder_that_was_removed_is_no_way_anywhere(tmp_path: Path) -> None:
    driver = Driver("x86_64", filled(tmp_path))
    assert driver.call("mkdir", b"gone", 0o755) == driver.call("chdir", b"gone") == driver.call("rmdir", b"/gone") == 0
    assert driver.error("open", b"x", O_CREAT | O_WRONLY) == "ENOENT"
    assert driver.error("getcwd", SCRATCH, 100) == "ENOENT"
    assert driver.contents(b"../a.txt") == b"hello\n"


def test_a_root_that_is_too_large_or_no_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = filled(tmp_path)
    monkeypatch.setattr(tree, "MOST_ENTRIES", 3)
    with pytest.raises(InputError, match="smaller root"):
        _ = Process(("a",), root=root).files
    monkeypatch.undo()
    monkeypatch.setattr(tree, "MOST_BYTES", 8)
    with pytest.raises(InputError, match="smaller root"):
        _ = Process(("a",), root=root).files
    for wrong in (tmp_path / "secret", tmp_path / "none"):
        with pytest.raises(InputError, match="cannot be the root"):
            _ = Process(("a",), root=wrong).files


def test_one_process_object_is_one_snapshot(tmp_path: Path) -> None:
    """Runs before and after a rewrite see the same files, whatever happens to the folder in between."""
    root = filled(tmp_path)
    process = Process(("a",), root=root)
    first = process.files
    (root / "a.txt").write_text("changed")
    assert process.files is first
    assert bytes(first.entries[b"a.txt"].data) == b"hello\n"


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_files_are_bounded(arch: str, tmp_path: Path) -> None:
    driver = Driver(arch, filled(tmp_path))
    number = driver.open(b"big", O_RDWR | O_CREAT | O_TRUNC)
    assert driver.error("ftruncate", number, 1 << 40) == "EFBIG"
    assert driver.error("pwrite64", number, b"x", 1, 1 << 50) == "EFBIG"
    assert driver.error("lseek", number, -1, 0) == "EINVAL"
    assert driver.call("lseek", number, 1 << 60, 0) == 1 << 60
    assert driver.error("write", number, b"x", 1) == "EFBIG"
    for index in range(20):
        last = driver.open(b"big%d" % index, O_RDWR | O_CREAT)
        if driver.call("ftruncate", last, 16 << 20) < 0:
            break
    assert driver.error("ftruncate", last, 16 << 20) == "ENOSPC"
