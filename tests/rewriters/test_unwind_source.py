"""What is known of an image's unwind information before anything is planned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.arch import arch_by_name
from lab.errors import RefusedError
from rewriters.unwind import Edits, Obstacles, Span, build, catching, read_frames, read_lsda
from tests.metadata.images import corpus_image, host_image
from tests.rewriters.test_unwind_spans import CODE, SIZE, SP_BASED, TABLES, fake
from tests.rewriters.unwinding import rebuilt, saved, tool_is_silent

ARCHES = ("aarch64", "x86_64")


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("language", ["c", "c++"])
def test_nothing_hinders_ordinary_functions(arch: str, language: str) -> None:
    image = host_image(arch, language)
    found = read_frames(image)
    assert found is not None
    obstacles = Obstacles(image, found)
    why = {image.locate(f.start): obstacles.why(f.start, f.end, pushes=True) for f in image.functions}
    assert [name for name, reason in why.items() if reason] == [], "signal returns have no function symbol of theirs"
    assert len(why) > 500


@pytest.mark.parametrize("program", SP_BASED.values(), ids=SP_BASED)
def test_obstacles_are_told_beforehand(program: bytes) -> None:
    old = fake(arch_by_name("aarch64"), [b"\x42\x0e\x10", program, b"\x3f"])
    obstacles = Obstacles(old.image, old.frames)
    assert obstacles.why(CODE, CODE + SIZE, pushes=True) == ""
    assert obstacles.why(CODE + SIZE, CODE + SIZE + 8, pushes=False) == ""
    assert "stack pointer" in obstacles.why(CODE + SIZE, CODE + SIZE + 8, pushes=True)
    assert "opcode 0x3f" in obstacles.why(CODE + 2 * SIZE, CODE + 2 * SIZE + 4, pushes=False)
    assert "stack pointer" in obstacles.why(CODE, CODE + 3 * SIZE, pushes=True)


@pytest.mark.parametrize("arch", ARCHES)
def test_only_programs_with_handlers_catch(arch: str) -> None:
    for language, expected in (("c", False), ("c++", True)):
        image = host_image(arch, language)
        found = read_frames(image)
        assert found is not None
        assert bool(catching(image, found)) == expected


def test_a_table_outside_the_image_is_refused() -> None:
    image = host_image("x86_64", "c++")
    found = read_frames(image)
    assert found is not None
    fde = next(fde for fde in found.fdes if fde.lsda)
    with pytest.raises(RefusedError, match="lies in no segment"):
        read_lsda(image, replace(fde, lsda=0x10))


def test_an_image_without_unwind_information_needs_none() -> None:
    image = corpus_image("tree", "aarch64")
    bare = replace(image, sections=tuple(s for s in image.sections if s.name != ".eh_frame"))
    assert read_frames(bare) is None
    assert build(bare, Edits((Span(TABLES, TABLES + 4, CODE),)), TABLES, header=True) is None


@pytest.mark.parametrize("arch", ARCHES)
def test_images_of_the_other_linker_are_read_alike(arch: str) -> None:
    path = saved(rebuilt(corpus_image("printf", arch)))
    assert ".eh_frame_hdr.old" in tool_is_silent("readelf", "-aW", path=path)
    assert " FDE " in tool_is_silent("readelf", "--debug-dump=frames", path=path)
