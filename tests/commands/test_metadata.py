"""unwindlab metadata: the table, JSON, and one line for what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.arch import AARCH64, X86_64
from lab.images.image import load_image
from tests.commands.calls import call, one_line
from tests.metadata.images import corpus_image

NAMES = ["dwarf", "orc 6.1", "orc 6.4", "sframe 1", "sframe 2"]


def damaged(folder: Path, at: int, data: bytes) -> Path:
    """A copy of an image with *data* at offset *at* of its .eh_frame."""
    image = corpus_image("printf", X86_64.name)
    section = image.section(".eh_frame")
    assert section is not None
    raw = image.path.read_bytes()
    start = raw.index(section.data) + at
    copy = folder / "damaged.elf"
    copy.write_bytes(raw[:start] + data + raw[start + len(data) :])
    assert load_image(copy).section(".eh_frame") != section
    return copy


@pytest.mark.parametrize("arch", [AARCH64, X86_64], ids=lambda arch: arch.name)
def test_json_has_every_format(arch: object) -> None:
    image = corpus_image("printf", getattr(arch, "name", ""))
    found = json.loads(call("metadata", str(image.path), "--json").stdout)
    assert [row["format"] for row in found["formats"]] == NAMES
    assert found["text_bytes"] == image.text_bytes
    for row in found["formats"]:
        assert row["problem"] == ""
        assert row["covered_percent"] == pytest.approx(100 * row["covered_bytes"] / image.text_bytes, abs=0.006)
        assert all(lost["rows"] == len(lost["ranges"]) for lost in row["lost"])
        assert all(lost["bytes"] == sum(end - start for start, end in lost["ranges"]) for lost in row["lost"])


def test_the_table_and_the_losses_are_the_same_figures() -> None:
    image = corpus_image("printf", AARCH64.name)
    done = call("metadata", str(image.path))
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == f"{image.path}: aarch64, {image.text_bytes} bytes of code"
    formats = json.loads(call("metadata", str(image.path), "--json").stdout)["formats"]
    for line, row in zip(lines[2:], formats, strict=False):
        ends = [str(row["rows"]), str(row["bytes"]), f"{row['covered_percent']:.2f}", "%"]
        assert line.startswith(row["format"])
        assert line.split()[-4:] == ends
    lost = next(lost for lost in formats[2]["lost"] if lost["reason"] == "ra_in_lr")
    places = ", ".join(image.locate(start) for start, _ in lost["ranges"][:3])
    more = f" and {lost['rows'] - 3} more"
    assert f"  {lost['rows']:5} rows, {lost['bytes']} bytes: return address in LR: {places}{more}" in lines


def test_another_source_must_be_there() -> None:
    path = corpus_image("printf", X86_64.name).path
    assert "no .sframe section" in one_line(call("metadata", str(path), "--from", "sframe"), 2)
    assert call("metadata", str(path), "--from", "dwarf").exit_code == 0


def test_a_damaged_section_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    path = damaged(tmp_path, 0, b"\xff\xff\xff\xff")
    done = call("metadata", str(path))
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"unwindlab: {path}: .eh_frame at 0x")
    assert "refused" in done.stdout
    assert json.loads(call("metadata", str(path), "--json").stdout)["formats"][0]["problem"] in line


def test_damaged_instructions_are_a_loss_not_an_error(tmp_path: Path) -> None:
    image = corpus_image("printf", X86_64.name)
    section = image.section(".eh_frame")
    assert section is not None
    path = damaged(tmp_path, section.data.index(b"\x41\x0e\x10"), b"\x3f")
    found = json.loads(call("metadata", str(path), "--json").stdout)["formats"]
    assert [(lost["reason"], lost["rows"]) for lost in found[0]["lost"]] == [("damaged", 1)]
    assert all(("damaged", 1) in [(lost["reason"], lost["rows"]) for lost in row["lost"]] for row in found)


def test_what_is_no_image_is_one_line(tmp_path: Path) -> None:
    assert "no-such.elf" in one_line(call("metadata", str(tmp_path / "no-such.elf")), 2)
    (tmp_path / "text").write_text("no ELF file" * 20)
    assert "text" in one_line(call("metadata", str(tmp_path / "text")), 2)
