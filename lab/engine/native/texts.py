"""The hook's generated text, kept from process to process: to generate it takes a quarter of the time to begin.

It depends on the lab's own source and on nothing of the user's.  Its name is a hash of all that source and of Python's
version (which spells trees out), so another source is another text; it says its own hash, so that a damaged one is
generated anew.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import lab

KEPT = 20
"""Texts on disk, some 50 KiB each."""


def kept_text(folder: Path, name: str, generate: Callable[[], str]) -> str:
    """What *generate* gives, from *folder* where the same source has given it before.

    Where the folder cannot be written, it is only given.
    """
    file = folder / f"{name}-{_own_source()}.text"
    with suppress(OSError, UnicodeDecodeError):
        said, _, text = file.read_text(encoding="utf-8").partition("\n")
        if said == _hash(text):
            os.utime(file)
            return text
    text = generate()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(file, f"{_hash(text)}\n{text}")
        newest = sorted(folder.glob(f"{name}-*.text"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in newest[KEPT:]:
            old.unlink(missing_ok=True)
    return text


def write_whole(file: Path, text: str) -> None:
    """Have *file* hold just *text*; it appears whole or not at all."""
    if file.exists() and file.read_bytes() == text.encode():
        return
    handle, name = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(handle, "wb") as stream:
        stream.write(text.encode())
    Path(name).replace(file)


def _own_source() -> str:
    """A hash of every module of the lab."""
    root = Path(str(lab.__file__)).parent
    whole = hashlib.sha256(sys.version.encode())
    for path in sorted(root.rglob("*.py")):
        whole.update(f"\0{path.relative_to(root)}\0".encode())
        whole.update(path.read_bytes())
    return whole.hexdigest()[:32]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
