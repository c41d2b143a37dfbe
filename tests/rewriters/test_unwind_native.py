"""Programs that throw exceptions, on their own machine, with new unwind tables and with functions moved elsewhere.

The old tables are spoiled where it says so: what works then works by the new ones."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from lab.images.image import Image, parse_image
from lab.metadata.cfi import rows
from rewriters.unwind import catching, read_frames, read_lsda
from tests.metadata.images import CXX_LINES, SPEC_SOURCE, host_image, host_program
from tests.rewriters.movers import Carriage, carry, detour_calls
from tests.rewriters.unwinding import rebuilt, run, saved, tool_is_silent

ARCHES = ("x86_64", "aarch64")
OURS = ("_Z4deepi", "_Z6filteri", "_Z5outeri", "main")
#: How the unwinder finds the tables: registered by the start files, by name or stripped, or through .eh_frame_hdr.
LINKS = {
    "registered": ("-static",),
    "stripped": ("-static", "-s"),
    "header": ("-static", "-Wl,--eh-frame-hdr"),
    "pie": ("-static-pie", "-fPIE"),
    "pointers": ("-static", "-fno-omit-frame-pointer", "-Wl,--emit-relocs"),
}


def original(arch: str, link: str) -> tuple[Image, tuple[int, str]]:
    image = host_image(arch, "c++", LINKS[link])
    outcome = run(arch, image.path)
    assert (outcome[0], len(outcome[1].splitlines())) == (0, CXX_LINES)
    return image, outcome


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("arch", ARCHES)
def test_exceptions_work_by_the_new_tables(arch: str, link: str) -> None:
    image, outcome = original(arch, link)
    assert run(arch, saved(rebuilt(image, poison="old"))) == outcome


@pytest.mark.parametrize("link", ["registered", "header"])
@pytest.mark.parametrize("arch", ARCHES)
def test_without_tables_exceptions_end_the_program(arch: str, link: str) -> None:
    image, _ = original(arch, link)
    assert run(arch, saved(rebuilt(image, poison="new")))[0] != 0


@pytest.mark.parametrize("link", [link for link in LINKS if link != "stripped"])
@pytest.mark.parametrize("arch", ARCHES)
def test_exceptions_pass_through_moved_functions(arch: str, link: str) -> None:
    image, outcome = original(arch, link)
    data = rebuilt(image, OURS, poison="old")
    assert run(arch, saved(data)) == outcome
    new = parse_image(data, image.path)
    for name in OURS:
        assert new.symbols[name] != image.symbols[name]
        assert new.symbols[f"{name}.detour"] == new.symbols[name]


@pytest.mark.parametrize("link", [link for link in LINKS if link != "stripped"])
@pytest.mark.parametrize("arch", ARCHES)
def test_exceptions_pass_through_calls_with_more_on_the_stack(arch: str, link: str) -> None:
    """The landing pads stay in the old bodies, and find the stack as they expect it."""
    image, outcome = original(arch, link)
    assert run(arch, saved(rebuilt(image, OURS, "old", detour_calls))) == outcome


@pytest.mark.parametrize("change", [carry, detour_calls])
@pytest.mark.parametrize("arch", ARCHES)
def test_exception_specifications_hold_elsewhere(arch: str, change: Callable[..., Carriage]) -> None:
    image = host_program(arch, "c++", SPEC_SOURCE, ("-static", "-std=c++14", "-w"))
    names = ("_Z6throwsi", "_Z8promisedi", "_Z8narroweri", "_Z7guardedi", "main")
    assert run(arch, image.path) == (0, "kept\nso\ntotal 208\n")
    assert run(arch, saved(rebuilt(image, names, "old", change))) == (0, "kept\nso\ntotal 208\n")
    found = read_frames(image)
    assert found is not None
    tables = [read_lsda(image, fde) for fde in found.fdes if fde.lsda]
    assert len([table for table in tables if min(table.filters, default=0) < 0 and table.specs]) >= 2


@pytest.mark.parametrize("change", [carry, detour_calls])
@pytest.mark.parametrize("key", ["pac-ret", "pac-ret+b-key"])
def test_signed_return_addresses_are_authenticated_elsewhere(key: str, change: Callable[..., Carriage]) -> None:
    image = host_image("aarch64", "c++", ("-static", f"-mbranch-protection={key}"))
    found = read_frames(image)
    assert found is not None
    assert any(row.state.signed for fde in found.fdes for row in rows(fde))
    assert any(cie.b_key for cie in found.cies) == ("b-key" in key)
    assert run("aarch64", saved(rebuilt(image, OURS, "old", change))) == run("aarch64", image.path)


@pytest.mark.parametrize("arch", ARCHES)
def test_moved_exception_tables_say_the_same(arch: str) -> None:
    image = host_image(arch, "c++")
    new = parse_image(rebuilt(image, OURS), image.path)
    before, after = read_frames(image), read_frames(new)
    assert before is not None
    assert after is not None
    for name in OURS:
        fde, moved = before.at(image.symbols[name]), after.at(new.symbols[name])
        assert fde is not None
        assert moved is not None
        assert bool(fde.lsda) == bool(moved.lsda)
        if fde.lsda:
            old, table = read_lsda(image, fde), read_lsda(new, moved)
            assert table.catches == old.catches
            assert (table.types, table.actions, table.specs) == (old.types, old.actions, old.specs)
            assert [(s.end - s.start, s.action) for s in table.sites if s.landing_pad] == [
                (s.end - s.start, s.action) for s in old.sites if s.landing_pad
            ]
    names = {new.locate(fde.start) for fde in catching(new, after)}
    assert {"_Z6filteri+0x0", "_Z5outeri+0x0"} <= names


@pytest.mark.parametrize(
    ("link", "moved"),
    [(link, moved) for link in LINKS for moved in ((), OURS) if not moved or link != "stripped"],
)
@pytest.mark.parametrize("arch", ARCHES)
def test_binary_tools_read_the_result_without_a_warning(arch: str, link: str, moved: tuple[str, ...]) -> None:
    image = host_image(arch, "c++", LINKS[link])
    path = saved(rebuilt(image, moved))
    listing = tool_is_silent("readelf", "-aW", path=path)
    assert ".eh_frame.old" in listing
    tables = tool_is_silent("readelf", "--debug-dump=frames", path=path)
    found = read_frames(parse_image(path.read_bytes(), path))
    assert found is not None
    assert tables.count(" FDE ") == len(found.fdes)
    prefix = "aarch64-linux-gnu-" if arch == "aarch64" else ""
    text = tool_is_silent(f"{prefix}objdump", "-d", "--no-show-raw-insn", path=path)
    assert bool(re.search(r"section \.text\.unwindlab:", text)) == bool(moved)


def test_the_debugger_walks_through_moved_functions() -> None:
    image = host_image("x86_64", "c++")
    path = saved(rebuilt(image, OURS, poison="old"))
    commands = ["set debuginfod enabled off", "set startup-with-shell off", "break __cxa_throw", "run", "bt", "kill"]
    arguments = [piece for command in commands for piece in ("-ex", command)]
    try:
        text = tool_is_silent("gdb", "-q", "-nx", "-batch", *arguments, path=path)
    except AssertionError as error:
        if "ptrace" in str(error) or "personality" in str(error) or "randomization" in str(error):
            pytest.skip("gdb may not trace programs here")
        raise
    frames = re.findall(r"^#\d+\s+(?:0x\S+ in )?(\w+) ?\(", text, re.MULTILINE)
    assert frames == ["__cxa_throw", "deep", "deep", "filter", "outer", "main"]
