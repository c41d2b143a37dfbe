"""Functions where no symbol tells them: the frame descriptions of .eh_frame."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from lab.errors import InputError
from lab.explain import parse_pc
from lab.images.fdes import eh_frame_address, read_fdes
from lab.images.image import Image, load_image
from tests.rewriters.guests import Source, build_plain
from tests.support import ARCH_NAMES

MAIN = """
__attribute__((noinline)) int half(int n) { return n / 2; }
__attribute__((noinline)) int twice(int n) { return n ? half(n) + twice(n - 1) : 0; }
int compute(void) { return twice(3); }
"""
#: An entry without frame description, code with both kinds of sizeless names, a signal trampoline and an empty FDE.
ODD = """
.text
 .globl sizeless
sizeless: .cfi_startproc
 nop
 ret
 .cfi_endproc
trampoline: .cfi_startproc
 .cfi_signal_frame
 nop
 .cfi_endproc
empty: .cfi_startproc
 .cfi_endproc
 .type sized, %function
sized: nop
covered: .cfi_startproc
 ret
 .cfi_endproc
 .size sized, . - sized
 .section .plt, "ax", %progbits
stub: .cfi_startproc
 nop
 .cfi_endproc
"""
FLAGS = ("-O1", "-ffreestanding", "-fasynchronous-unwind-tables")


def _built(folder: Path, arch: str, *link: str) -> Image:
    odd = ODD if arch == "aarch64" else ODD.replace("%", "@")
    sources = [Source("a.c", MAIN, FLAGS), Source("odd.s", odd)]
    return load_image(build_plain(folder, arch, sources, ("--build-id", *link)))


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_stripped_image_has_the_functions_of_its_frame_descriptions(tmp_path: Path, arch: str) -> None:
    whole, stripped = _built(tmp_path / "a", arch), _built(tmp_path / "b", arch, "-s")
    assert (whole.stripped, stripped.stripped) == (False, True)
    described = [f for f in whole.functions if f.name in {"half", "twice", "compute", "sizeless"}]
    assert {(f.start, f.size) for f in described} <= {(f.start, f.size) for f in stripped.functions}
    sized = whole.symbols["covered"]
    assert {f.start for f in stripped.functions} == {f.start for f in described} | {sized}
    assert all(f.names == (f"sub_{f.start:x}",) and not f.symbol for f in stripped.functions)
    assert stripped.locate(described[0].start + 1) == f"sub_{described[0].start:x}+0x1"
    assert parse_pc(stripped, f"sub_{described[0].start:x}+0x1") == described[0].start + 1


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_code_no_symbol_sizes_is_a_function_if_it_is_described(tmp_path: Path, arch: str) -> None:
    image = _built(tmp_path, arch)
    assert [f.name for f in image.functions if not f.symbol] == ["sizeless"]
    assert image.function_at(image.symbols["covered"]) == next(f for f in image.functions if f.name == "sized")
    for nobody in ("trampoline", "stub"):
        assert image.function_at(image.symbols[nobody]) is None


def test_without_section_headers_the_program_header_leads_to_the_frame_descriptions(tmp_path: Path) -> None:
    image = _built(tmp_path, "x86_64", "-s", "--eh-frame-hdr")
    raw = bytearray(image.path.read_bytes())
    raw[40:48] = bytes(8)
    raw[58:64] = bytes(6)
    bare = tmp_path / "bare.elf"
    bare.write_bytes(raw)
    found = load_image(bare)
    assert not found.sections
    assert {f.start for f in image.functions} <= {f.start for f in found.functions}
    assert len(found.functions) == len(image.functions) + 1, "the stub: which section it is in, nobody can tell"


def test_damage_is_a_fact_about_the_image(tmp_path: Path) -> None:
    image = _built(tmp_path, "aarch64", "-s")
    section = image.section(".eh_frame")
    assert section is not None
    raw = image.path.read_bytes()
    damaged = tmp_path / "damaged.elf"
    damaged.write_bytes(raw.replace(section.data, b"\xf0\xff" + section.data[2:]))
    found = load_image(damaged)
    assert (found.functions, found.stripped) == ((), True)
    assert found.fdes_problem.startswith(f"{damaged}: damaged .eh_frame at {section.address:#x} (length 0x")


CIE = struct.pack("<IIB", 16, 0, 1) + b"zR\0\x01\x78\x1e\x01\x1b\0\0\0"


def _fde(offset: int, start: int, size: int) -> bytes:
    return struct.pack("<IIiII", 16, offset + 4, start - (0x1000 + offset + 8), size, 0)


def test_terminators_are_passed_and_sizes_are_unsigned() -> None:
    data = CIE + bytes(4) + _fde(24, 0x400, 0xFFFF_FFF0)
    (fde,) = read_fdes(data, 0x1000, "x")
    assert (fde.start, fde.size, fde.signal) == (0x400, 0xFFFF_FFF0, False)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"\xff\xff\xff\xff" + bytes(8), "length 0xffffffff"),
        (b"\x02\0\0\0\0\0", "length 0x2"),
        (CIE.replace(b"\x1b", b"\x3b") + _fde(20, 0x400, 4), "pointer encoding 0x3b"),
        (CIE.replace(b"\x1b", b"\xff") + _fde(20, 0x400, 4), "pointer encoding 0xff"),
        (CIE.replace(b"zR", b"zq") + _fde(20, 0x400, 4), "augmentation"),
        (CIE.replace(b"\x01zR", b"\x04zR") + _fde(20, 0x400, 4), "version 4"),
        (CIE + _fde(40, 0x400, 4), "an FDE without a CIE"),
        (CIE[:16] + b"\xff" * 4 + _fde(20, 0x400, 4)[:8], "length"),
    ],
)
def test_what_linkers_do_not_write_is_refused(data: bytes, cause: str) -> None:
    with pytest.raises(InputError, match=rf"^x: damaged \.eh_frame at 0x10.*{cause}"):
        read_fdes(data, 0x1000, "x")


def test_the_header_says_where_the_frame_descriptions_are() -> None:
    assert eh_frame_address(struct.pack("<BBBBiI", 1, 0x1B, 3, 0x3B, 0x20, 0), 0x2000) == 0x2024
    assert eh_frame_address(struct.pack("<BBBBiI", 2, 0x1B, 3, 0x3B, 0x20, 0), 0x2000) is None
    assert eh_frame_address(struct.pack("<BBBBiI", 1, 0x3B, 3, 0x3B, 0x20, 0), 0x2000) is None
