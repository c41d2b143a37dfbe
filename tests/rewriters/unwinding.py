"""Rewritten images that only unwinders tell from the original: new unwind tables, and functions moved as they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import lief
import pytest

from lab.images.image import Image
from lab.metadata.cfi import Frames, frames
from rewriters.elf_tables import Changes, Moved, NewSection, NewSymbol, eh_frame_header, finish
from rewriters.unwind import Edits, UnwindTables, build, read_frames, registrations

PAGE = 0x1000


def new_segment(binary: Any, content: bytes) -> Any:
    """A new executable segment in the place of a program header that can go, as rewriters.write makes it."""
    kinds, flags = lief.ELF.Segment.TYPE, lief.ELF.Segment.FLAGS
    old = next(s for kind in (kinds.NOTE, kinds.GNU_STACK) for s in binary.segments if s.type == kind)
    segment = lief.ELF.Segment()
    segment.type, segment.flags, segment.alignment = kinds.LOAD, flags.R | flags.X, PAGE
    segment.content = list(content)
    return binary.replace(segment, old)


NOTHING = Edits()


def rebuilt(image: Image, edits: Edits = NOTHING, text: bytes = b"", text_size: int | None = None) -> bytes:
    """*image* with new code *text* at the start of a new segment, and unwind information after *edits* behind it."""
    raw = image.path.read_bytes()
    header = eh_frame_header(raw) is not None
    code = len(text) if text_size is None else text_size
    code += -code % 16
    guess = build(image, edits, (image.segments[-1].end | 0xFFFF) + 1, header=header)
    assert guess is not None
    binary = lief.ELF.parse(list(raw))
    segment = new_segment(binary, bytes(code + len(guess.data)))
    base = int(segment.virtual_address)
    assert segment.virtual_address % 16 == 0
    tables = build(image, edits, base + code, header=header)
    assert tables is not None
    assert len(tables.data) == len(guess.data)
    segment.content = list((text.ljust(code, b"\0") + tables.data).ljust(int(segment.physical_size), b"\0"))
    old = read_frames(image)
    assert old is not None
    for site in registrations(image, old):
        for address, data in site.patches(tables.entries[site.entry]):
            binary.patch_address(address, list(data))
    return finish(bytes(binary.write_to_bytes()), changes(tables, base, code), str(image.path))


def changes(
    tables: UnwindTables, base: int, code: int, moved: tuple[Moved, ...] = (), symbols: tuple[NewSymbol, ...] = ()
) -> Changes:
    """What the tables of the rewritten file say."""
    sections = [NewSection(".eh_frame", *tables.eh_frame)]
    if code:
        sections.insert(0, NewSection(".text.unwindlab", base, code, executable=True))
    if tables.header is not None:
        sections.append(NewSection(".eh_frame_hdr", *tables.header))
    if tables.tables[1]:
        sections.append(NewSection(".gcc_except_table.unwindlab", *tables.tables))
    return Changes(sections=sections, symbols=symbols, moved=moved, header=tables.header)


def new_frames(tables: UnwindTables, address: int) -> Frames:
    """The built .eh_frame, parsed."""
    start, size = tables.eh_frame
    return frames(tables.data[start - address : start - address + size], start, "built")


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="unwindlab-unwinding-")


def saved(data: bytes) -> Path:
    """*data* as an executable file."""
    path = Path(tempfile.mkdtemp(dir=_folder().name)) / "program.elf"
    path.write_bytes(data)
    path.chmod(0o755)
    return path


def run(arch: str, path: Path) -> tuple[int, str]:
    """(exit status, output) of a program, natively or under qemu-user; skips by name where neither can."""
    native = sys.platform == "linux" and os.uname().machine == arch
    command = [] if native else [shutil.which(f"qemu-{arch}") or ""]
    if command == [""]:
        pytest.skip(f"needs qemu-{arch}, which is not installed")
    done = subprocess.run([*command, path], capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout.decode() + done.stderr.decode()


def tool_is_silent(tool: str, *arguments: str, path: Path) -> str:
    """What a binary tool prints, after checking that it warns of nothing; skips by name where it is missing."""
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"needs {tool}, which is not installed")
    done = subprocess.run([found, *arguments, path], capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode(errors="replace")
