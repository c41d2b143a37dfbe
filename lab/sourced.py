"""Source lines for the instructions of a stored run: from twins of its images with line tables.

Measured images have no debug information.  A compiler's code does not depend on being asked for line tables; that is
not taken on trust: a twin whose code is not the measured image's, byte for byte, tells nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection

from lab.again import ImageKey, subject_again
from lab.arch import arch_by_name
from lab.images.build import build
from lab.images.image import Image, load_image
from lab.images.lines import Lines, source_lines
from lab.images.toolchain import find_compiler
from lab.instructions import original_place
from lab.store import Run
from lab.store.rows import CodeRow

LINE_TABLES = "-g1"
"""clang's and gcc's name for line tables and little else."""

PF_X = 1  # ELF gABI

Progress = Callable[[int, int, str], None]


def with_sources(
    run: Run, only: Collection[ImageKey] | None = None, progress: Progress = lambda done, total, what: None
) -> tuple[Run, list[str]]:
    """*run* whose code rows have source lines, those of the images *only* (None: all); and the titles of images whose
    twin has other code.  InputError where an image cannot be built as it was."""
    keys = list(dict.fromkeys(_key(row) for row in run.result.code))
    wanted = [key for key in keys if only is None or key in only]
    found: dict[ImageKey, Lines] = {}
    other: list[str] = []
    for done, key in enumerate(wanted):
        title = " ".join(key)
        progress(done, len(wanted), title)
        lines = _lines(run, key)
        if lines is None:
            other.append(title)
        else:
            found[key] = lines
    rows = [_sourced(row, found.get(_key(row))) for row in run.result.code]
    return dataclasses.replace(run, result=dataclasses.replace(run.result, code=rows)), other


def _key(row: CodeRow) -> ImageKey:
    return row.arch, row.compiler, row.workload, row.proposal


def _sourced(row: CodeRow, lines: Lines | None) -> CodeRow:
    return row if lines is None or row.source else dataclasses.replace(row, source=lines(row.pc))


def _lines(run: Run, key: ImageKey) -> Lines | None:
    """The lines by the measured image's addresses; None where the twin's code differs."""
    job, subject = subject_again(run, key)
    arch, compiler = arch_by_name(job.arch), find_compiler(job.compiler)
    asked = subject.proposal.compiler_flags(job.arch)
    plain, twin = (
        load_image(build(subject.workload, arch, flags, job.size, compiler, runtime=job.runtime))
        for flags in (asked, (*asked, LINE_TABLES))
    )
    if _code(plain) != _code(twin):
        return None
    lines, place = source_lines(twin.path), original_place(subject.rewrite)

    def at(pc: int) -> str:
        original = place(pc)
        return "" if original is None else lines(original)

    return at


def _code(image: Image) -> list[tuple[int, bytes]]:
    return [(segment.address, segment.data) for segment in image.segments if segment.flags & PF_X]
