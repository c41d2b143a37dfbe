"""SFrame of the assemblers at hand, against the call-frame information they made it from, and GNU readelf."""

from __future__ import annotations

import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from lab.arch import AARCH64, X86_64
from lab.images.image import Image, load_image
from lab.metadata.rules import CfaBase, Format, FpPlace, Kind, RaPlace, Rule, RuleTable
from lab.metadata.sframe import parse_sframe
from lab.metadata.sframe_rules import read_sframe
from lab.metadata.sframe_write import to_sframe, write_sframe
from lab.metadata.tables import read_tables
from tests.metadata.producers import GNU, musl_image, tool

SOURCES = (
    """
int g(int);
long many(long a, long b, long c, long d, long e, long f, long h) { return g(a + b) * c + d * e + f * g(h); }
int array(int n) { int v[n]; v[0] = n; v[n - 1] = g(n); return g(v[0] + v[n - 1]); }
int leaf(int a) { return a; }
""",
    """
int leaf(int); int array(int);
int g(int a) { volatile char big[40000]; big[a] = 1; return leaf(a) + leaf(a + 1) + big[a]; }
void _start(void) { array(3); for (;;) ; }
""",
)
FLAGS = ["-O2", "-c", "-ffreestanding", "-fno-stack-protector", "-fasynchronous-unwind-tables", "-Wa,--gsframe"]


def compiled(folder: Path, command: list[str]) -> list[Path]:
    """Objects of SOURCES; skips by name where the assembler does not know --gsframe."""
    objects = []
    for number, source in enumerate(SOURCES):
        name = folder / f"{number}.c"
        name.write_text(source)
        objects.append(name.with_suffix(".o"))
        done = subprocess.run([*command, "-o", objects[-1], name], capture_output=True, text=True, check=False)
        if done.returncode and "gsframe" in done.stderr:
            pytest.skip(f"needs an assembler with --gsframe; that of {command[0]} has none")
        assert done.returncode == 0, done.stderr
    return objects


@pytest.fixture(scope="module", params=["x86_64", "aarch64", "aarch64 pac-ret", "x86_64 -fno-omit-frame-pointer"])
def gnu(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """An image with .sframe, assembled and merged by GNU binutils."""
    arch, _, option = str(request.param).partition(" ")
    more = [option.replace("pac-ret", "-mbranch-protection=pac-ret")] if option else []
    folder = tmp_path_factory.mktemp("gnu")
    objects = compiled(folder, [tool(f"{GNU[arch]}gcc"), *FLAGS, *more])
    output = folder / "image.elf"
    done = subprocess.run([tool(f"{GNU[arch]}ld"), "-static", *objects, "-o", output], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return load_image(output)


def both(image: Image) -> tuple[RuleTable, RuleTable]:
    """(its SFrame table, its DWARF table)."""
    found = read_tables(image, [Format.SFRAME, Format.DWARF])
    assert found[Format.SFRAME].origin.startswith(".sframe version ")
    return found[Format.SFRAME], found[Format.DWARF]


def test_gnu_as_says_what_its_cfi_says(gnu: Image) -> None:
    sframe, dwarf = both(gnu)
    version = int(sframe.origin[-1])
    converted = to_sframe(dwarf, gnu.arch, version)
    assert len(sframe.rows) > 10
    for row in sframe.rows:
        assert [converted.at(pc) for pc in (row.start, row.end - 1)] == [row.rule] * 2, hex(row.start)
    missing = {row.start for row in converted.rows if sframe.at(row.start) is None}
    assert not missing or any(loss.start for loss in converted.losses)  # GNU as leaves out whole functions


@pytest.mark.parametrize("arch", GNU)
@pytest.mark.parametrize("option", ["-fomit-frame-pointer", "-fno-omit-frame-pointer"])
def test_gnu_as_and_the_conversion_say_the_same_of_musl(arch: str, option: str, tmp_path: Path) -> None:
    sframe, dwarf = both(musl_image(arch, tmp_path, ["-Wa,--gsframe", option]))
    assert to_sframe(dwarf, X86_64 if arch == "x86_64" else AARCH64, 1).rows == sframe.rows
    assert len(sframe.rows) > 150


def test_signed_return_addresses(gnu: Image) -> None:
    sframe, dwarf = both(gnu)
    marks = [row.rule.flags for row in sframe.rows]
    assert (1 in marks) == any(row.rule.flags for row in dwarf.rows)


LINE = re.compile(r"^ +([0-9a-f]{16})  (sp|fp)([+-]\d+) +(u|c([+-]\d+)) +(u|f|c([+-]\d+))(\[s\])? *$")


def listed(path: Path, arch: str) -> dict[int, Rule]:
    """Start address -> rule, as readelf lists the .sframe of *path*; skips where it does not know the version."""
    readelf = tool(f"{GNU[arch]}readelf")
    done = subprocess.run([readelf, "--sframe", path], capture_output=True, text=True, check=False)
    if done.returncode or "Error" in done.stderr or "unrecognized" in done.stderr:
        pytest.skip(f"needs a readelf that reads this version of SFrame; {readelf} does not")
    found = {}
    for line in done.stdout.splitlines():
        match = LINE.match(line)
        if match is None:
            assert " sp+" not in line, line
            continue
        fixed = arch == "x86_64"
        ra, ra_offset = (RaPlace.CFA, -8) if fixed else (RaPlace.LR, 0)
        if match[7] and not fixed:
            ra, ra_offset = RaPlace.CFA, int(match[7])
        fp = FpPlace.CFA if match[5] else FpPlace.SAME
        base = CfaBase.SP if match[2] == "sp" else CfaBase.FP
        flags = 1 if match[8] else 0
        found[int(match[1], 16)] = Rule(
            Kind.NORMAL, base, int(match[3]), 0, ra, ra_offset, fp, int(match[5] or 0), flags
        )
    return found


def test_readelf_lists_what_is_read(gnu: Image) -> None:
    found = listed(gnu.path, gnu.arch.name)
    section = gnu.section(".sframe")
    assert section is not None
    parsed = parse_sframe(section.data, section.address, gnu.arch, "x")
    assert sorted(found) == sorted(one.start + fre.start for one in parsed.functions for fre in one.fres)
    table = read_sframe(section.data, section.address, gnu.arch, "x")
    assert {at: table.at(at) for at in found} == found


def test_readelf_reads_what_is_written(gnu: Image, tmp_path: Path) -> None:
    section = gnu.section(".sframe")
    assert section is not None
    said = to_sframe(both(gnu)[1], gnu.arch, 1)
    (tmp_path / "sframe").write_bytes(write_sframe(said, gnu.arch, 1, section.address))
    copy = tmp_path / "copy.elf"
    update = f"--update-section=.sframe={tmp_path / 'sframe'}"
    done = subprocess.run(
        [tool(f"{GNU[gnu.arch.name]}objcopy"), update, gnu.path, copy], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = listed(copy, gnu.arch.name)
    assert {row.start: row.rule for row in said.rows} == {at: found[at] for at in (row.start for row in said.rows)}
    assert all(said.at(at) == rule for at, rule in found.items())


def test_what_gnu_wrote_is_written_again_byte_for_byte(gnu: Image) -> None:
    section = gnu.section(".sframe")
    assert section is not None
    if section.data[2] != 1:
        pytest.skip("needs binutils 2.40, which writes version 1")
    said = to_sframe(both(gnu)[0], gnu.arch, 1)
    assert write_sframe(said, gnu.arch, 1, section.address) == section.data


def test_procedure_linkage_tables_of_gnu_ld_repeat(tmp_path: Path) -> None:
    source = tmp_path / "lib.c"
    source.write_text("int a(int), b(int); int both(int n) { return a(n) + b(n); }")
    flags = [*FLAGS, "-fPIC", "-fcf-protection=none"]
    done = subprocess.run(
        [tool("gcc"), *flags, "-o", tmp_path / "lib.o", source], capture_output=True, text=True, check=False
    )
    if done.returncode and "gsframe" in done.stderr:
        pytest.skip("needs an assembler with --gsframe")
    library = tmp_path / "lib.so"
    subprocess.run([tool("ld"), "-shared", "-z", "lazy", tmp_path / "lib.o", "-o", library], check=True)
    elf = ELFFile(BytesIO(library.read_bytes()))
    section, plt = elf.get_section_by_name(".sframe"), elf.get_section_by_name(".plt")
    table = read_sframe(section.data(), section["sh_addr"], X86_64, "lib.so")
    offsets = {}
    for at in (0, 6, 16, 22, 27, 32, 38, 43):  # instructions: push, jmp; then jmp, push, jmp of each entry
        rule = table.at(plt["sh_addr"] + at)
        assert rule is not None
        offsets[at] = rule.cfa_offset
    assert offsets == {0: 16, 6: 24, 16: 8, 22: 8, 27: 16, 32: 8, 38: 8, 43: 16}


@pytest.mark.filterwarnings("ignore:.*is not a valid TYPE")  # lief's, of the section's own type
def test_clang_writes_version_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-none", "-fno-sanitize=all"]
    objects = compiled(tmp_path, [*command, *FLAGS[:-1], "-Wa,--allow-experimental-sframe", "-Wa,--gsframe"])
    whole = tmp_path / "whole.c"
    whole.write_text("".join(SOURCES).replace("int leaf(int); int array(int);", ""))
    assert len(objects) == 2  # LLD does not merge tables: one object, one table
    done = subprocess.run(
        [*command, *FLAGS[:-1], "-Wa,--allow-experimental-sframe", "-Wa,--gsframe", "-o", tmp_path / "whole.o", whole],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    link = [sys.executable, "-m", "ziglang", "ld.lld", "-static", tmp_path / "whole.o", "-o", tmp_path / "image.elf"]
    done = subprocess.run(link, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    image = load_image(tmp_path / "image.elf")
    sframe, dwarf = both(image)
    assert sframe.origin == ".sframe version 2"
    assert len(sframe.rows) > 10
    converted = to_sframe(dwarf, image.arch, 2)
    assert (converted.rows, converted.size) == (sframe.rows, sframe.size)
    section = image.section(".sframe")
    assert section is not None
    assert len(write_sframe(converted, image.arch, 2, section.address)) == len(section.data)
