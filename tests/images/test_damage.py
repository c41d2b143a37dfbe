"""Damaged images and damaged maps end in one line that names the file."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from lab.errors import InputError
from lab.images.image import load_image
from lab.layout import Flavour, Policy, RewriteMap, map_path
from lab.machine.machine import Machine
from lab.metadata.eh_frame import read_cfi
from lab.rewriting import load_map, rewrite_file
from tests.support import assemble, compile_c

SOURCE = (
    "__attribute__((noinline)) int f(int n) { return n ? f(n - 1) + n : 0; }\nint test_main(void) { return f(0); }\n"
)
SLEDS = ("-fxray-instrument", "-fxray-instruction-threshold=1")


def _damaged(folder: Path, offset: int, data: bytes) -> Path:
    raw = bytearray(compile_c("x86_64", SOURCE).path.read_bytes())
    raw[offset : offset + len(data)] = data
    path = folder / "damaged.elf"
    path.write_bytes(raw)
    return path


def _section_header(index: int) -> int:
    raw = compile_c("x86_64", SOURCE).path.read_bytes()
    return int(struct.unpack_from("<Q", raw, 40)[0]) + 64 * index


@pytest.mark.parametrize("value", [1 << 30, 1 << 63], ids=["1 GiB", "2^63"])
def test_a_section_outside_the_file_is_refused_before_the_parser_sees_it(tmp_path: Path, value: int) -> None:
    path = _damaged(tmp_path, _section_header(2) + 24, struct.pack("<Q", value))
    with pytest.raises(InputError, match=r"damaged\.elf: damaged section header 2"):
        load_image(path)


def test_a_section_table_outside_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="damaged section headers"):
        load_image(_damaged(tmp_path, 40, struct.pack("<Q", 1 << 40)))


def test_a_note_with_a_damaged_name_is_no_build_id(tmp_path: Path) -> None:
    image = compile_c("x86_64", SOURCE)
    note = image.section(".note.gnu.build-id")
    assert note is not None
    offset = image.path.read_bytes().index(note.data)
    assert image.build_id
    assert load_image(_damaged(tmp_path, offset + 12, b"\xff\xfe")).build_id == ""


def test_metadata_that_cannot_be_read_is_a_fact_not_an_error(tmp_path: Path) -> None:
    image = compile_c("x86_64", SOURCE)
    section = image.section(".eh_frame")
    assert section is not None
    offset = image.path.read_bytes().index(section.data)
    problems = []
    for byte in range(0, len(section.data), 3):
        path = _damaged(tmp_path, offset + byte, b"\xff\xff\xff")
        problems.append(read_cfi(path, image.arch).problem)
    assert any(problems)


Path_ = tuple[Any, ...]


@pytest.mark.parametrize(
    ("where", "value", "cause"),
    [
        (("layout", "rows", 0, "start"), None, "valid integer"),
        (("layout", "rows", 1, "start"), 0, "overlap"),
        (("layout", "rows", 0, "end"), -1, "ends before it starts"),
        (("inserted", 0, "end"), [], "valid integer"),
        (("layout", "distance"), None, "reached in one way"),
        (("layout", "cell"), 4096, "reached in one way"),
        (("layout", "limit"), -1, "no range of addresses"),
        (("census",), {}, "census.functions"),
        (("schema",), 99, "another schema"),
    ],
)
def test_a_map_that_cannot_be_is_refused(tmp_path: Path, where: Path_, value: object, cause: str) -> None:
    path = map_path(_rewritten(tmp_path))
    plain = json.loads(path.read_text())
    inner = plain
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    with pytest.raises(InputError, match=cause) as caught:
        RewriteMap.from_json(json.dumps(plain), "m.json")
    assert "\n" not in str(caught.value)


def _rewritten(folder: Path) -> Path:
    out = folder / "out.elf"
    rewrite_file(compile_c("x86_64", SOURCE, *SLEDS).path, out, "xray", Flavour.PARALLEL, Policy.CHECK)
    return out


def test_a_map_survives_the_round_trip(tmp_path: Path) -> None:
    text = map_path(_rewritten(tmp_path)).read_text()
    assert RewriteMap.from_json(text, "m.json").to_json() == text


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 5000])
def test_a_map_that_is_no_map(tmp_path: Path, text: bytes) -> None:
    out = _rewritten(tmp_path)
    map_path(out).write_bytes(text)
    with pytest.raises(InputError, match=r"not a rewrite map|cannot read the rewrite map"):
        load_map(out)


@pytest.mark.parametrize("distance", [0, -4096, 12345, 1 << 62])
def test_a_parallel_stack_without_a_place_is_refused(tmp_path: Path, distance: int) -> None:
    out = _rewritten(tmp_path)
    plain = json.loads(map_path(out).read_text())
    plain["layout"]["distance"] = distance
    layout = RewriteMap.from_json(json.dumps(plain), "m.json").layout
    with pytest.raises(InputError, match="has no place"):
        Machine(load_image(out), layout)


def test_an_address_behind_a_nested_function_belongs_to_the_outer_one() -> None:
    body = "FUNC test_main\n nop\nFUNC inner\n nop\nEND inner\n ret\nEND test_main\n"
    image = assemble("x86_64", body)
    names = [image.locate(image.symbols["test_main"] + offset) for offset in range(4)]
    assert names == ["test_main+0x0", "inner+0x0", "test_main+0x2", names[3]]
    assert "test_main" not in names[3]
