"""Rewritten images that only unwinders tell from the original: new unwind tables, and functions moved as they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import lief
import pytest

from lab.images.image import Image
from rewriters.elf_tables import Changes, NewSection, NewSymbol, eh_frame_header, finish
from rewriters.unwind import Places, UnwindTables, build, read_frames, registrations
from tests.rewriters.movers import Carriage, carry

PAGE = 0x1000


def new_segment(binary: Any, content: bytes) -> Any:
    """A new executable segment in the place of a program header that can go, as rewriters.write makes it."""
    kinds, flags = lief.ELF.Segment.TYPE, lief.ELF.Segment.FLAGS
    old = next(s for kind in (kinds.NOTE, kinds.GNU_STACK) for s in binary.segments if s.type == kind)
    segment = lief.ELF.Segment()
    segment.type, segment.flags, segment.alignment = kinds.LOAD, flags.R | flags.X, PAGE
    segment.content = list(content)
    return binary.replace(segment, old)


def rebuilt(
    image: Image, functions: tuple[str, ...] = (), poison: str = "", change: Callable[..., Carriage] = carry
) -> bytes:
    """*image* with new unwind tables in a new segment, and before them *functions* (by name, with their cold parts),
    moved there (or whatever else *change* does).  *poison*: which tables to spoil, ``old`` or ``new``."""
    raw = image.path.read_bytes()
    header = eh_frame_header(raw) is not None
    chosen = [f for f in image.functions if f.name in functions or f.name.removesuffix(".cold") in functions]
    assert len(chosen) >= len(functions)
    guess = (image.segments[-1].end | 0xFFFF) + 1
    binary = lief.ELF.parse(list(raw))
    code = change(image, chosen, guess)
    size = len(code.text)
    planned = build(image, code.edits, guess + size, header=header)
    assert planned is not None
    segment = new_segment(binary, bytes(size + len(planned.data)))
    base = int(segment.virtual_address)
    code = change(image, chosen, base)
    tables = build(image, code.edits, base + size, header=header)
    assert tables is not None
    assert len(tables.data) == len(planned.data)
    data = bytearray(code.text + tables.data)
    if poison == "new":
        start = tables.eh_frame[0] - base
        data[start : start + tables.eh_frame[1]] = bytes(tables.eh_frame[1])
    segment.content = list(bytes(data).ljust(int(segment.physical_size), b"\0"))
    old = read_frames(image)
    assert old is not None
    if poison == "old":
        binary.patch_address(old.address, [0] * len(old.data))
    edits = [edit for site in registrations(image, old) for edit in site.patches(tables.entries[site.entry])]
    for address, patch in [*edits, *code.jumps]:
        binary.patch_address(address, list(patch))
    places = Places(code.edits)
    symbols = tuple(NewSymbol(f"{image.locate(m.old_start)[:-4]}.detour", m.new_start, 4) for m in code.moved)
    told = changes(tables, base, size)
    told = replace(told, moved=code.moved, place=places.new, symbols=symbols)
    return finish(bytes(binary.write_to_bytes()), told, str(image.path))


def changes(tables: UnwindTables, base: int, code: int) -> Changes:
    """What the section headers of the rewritten file say."""
    sections = [NewSection(".eh_frame", *tables.eh_frame)]
    if code:
        sections.insert(0, NewSection(".text.unwindlab", base, code, executable=True))
    if tables.header is not None:
        sections.append(NewSection(".eh_frame_hdr", *tables.header))
    if tables.tables[1]:
        sections.append(NewSection(".gcc_except_table.unwindlab", *tables.tables))
    return Changes(sections=sections, header=tables.header)


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
