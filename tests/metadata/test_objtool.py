"""objtool, which makes ORC from the code itself, as the second implementation: read, compared with, and written for."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.arch import X86_64
from lab.images.image import Image, load_image
from lab.metadata.orc import Layout
from lab.metadata.orc_write import to_orc, write_orc
from lab.metadata.rules import CfaBase, Deref, Format, FpPlace, Kind, RaPlace, Rule
from lab.metadata.tables import read_tables
from tests.metadata.producers import musl_image

OBJTOOL = "lib/linux-kbuild-6.1/tools/objtool/objtool"


def objtool() -> Path:
    found = [Path(root) / OBJTOOL for root in ("/usr", "/usr/local")]
    tool = next((path for path in found if path.exists()), None) or shutil.which("objtool")
    if tool is None:
        pytest.skip("needs objtool of linux-kbuild-6.1, which is not installed")
    return Path(tool)


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


@pytest.fixture(scope="module", params=["-fomit-frame-pointer", "-fno-omit-frame-pointer"])
def checked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Image, str]:
    """(an image with tables of objtool's, objtool's own listing of them)."""
    tool = objtool()
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, which is not installed")
    folder = tmp_path_factory.mktemp("orc")
    flags = f"-O2 -c -ffreestanding -fno-stack-protector -fcf-protection=none -fno-pic -mno-red-zone {request.param}"
    objects = []
    for number, source in enumerate(SOURCES):
        name = folder / f"{number}.c"
        name.write_text(source)
        objects.append(name.with_suffix(".o"))
        more = ["-fasynchronous-unwind-tables", "-o", objects[-1], name]
        subprocess.run(["gcc", *flags.split(), *more], check=True, capture_output=True)
        subprocess.run([tool, "--orc", objects[-1]], check=True, capture_output=True)
    image = folder / "image.elf"
    subprocess.run(["ld", "-static", *objects, "-o", image], check=True, capture_output=True)
    return load_image(image), dump(image)


def dump(image: Path) -> str:
    done = subprocess.run([objtool(), "--dump=orc", image], check=True, capture_output=True, text=True)
    return done.stdout


BASES = {"sp": (CfaBase.SP, Deref.NONE), "bp": (CfaBase.FP, Deref.NONE)}
LINE = re.compile(r"^([0-9a-f]+): sp:(\(und\)|(\w+)([+-]\d+)) bp:(\(und\)|(\w+)([+-]\d+)) type:(\w+) end:(\d)$")


def listed(text: str) -> dict[int, Rule]:
    """Address -> rule, from objtool's listing of calls; the later of two at one address counts (a new section)."""
    found = {}
    for line in text.splitlines():
        match = LINE.match(line)
        assert match, line
        assert match[8] == "call"
        rule = Rule(Kind.END, ra_place=RaPlace.UNDEFINED) if match[9] == "1" else Rule(Kind.UNDEFINED)
        if match[3]:
            base, deref = BASES[match[3]]
            assert match[6] in {None, "prevsp"}
            place = FpPlace.CFA if match[6] else FpPlace.SAME
            rule = Rule(Kind.NORMAL, base, int(match[4]), deref, RaPlace.CFA, -8, place, int(match[7] or 0))
        found[int(match[1], 16)] = rule
    return found


def test_objtools_tables_are_read_as_objtool_lists_them(checked: tuple[Image, str]) -> None:
    image, text = checked
    table = read_tables(image, [Format.ORC])[Format.ORC]
    assert table.origin == ".orc_unwind layout 6.1"
    found = listed(text)
    last = max(found)
    assert {row.start: row.rule for row in table.rows} == {at: rule for at, rule in found.items() if at != last}
    assert table.rows[-1].end == last
    assert len(found) > 15


def test_objtool_and_the_compilers_cfi_agree(checked: tuple[Image, str]) -> None:
    """objtool works the state out from the code, the compiler writes it down: they differ, if at all, in FP's row
    after it was restored, which the compiler need not take back."""
    image, _ = checked
    orc = read_tables(image, [Format.ORC])[Format.ORC]
    said = to_orc(read_tables(image, [Format.DWARF])[Format.DWARF], X86_64, Layout.V6_1)
    compared = 0
    for start in sorted({row.start for row in (*orc.rows, *said.rows)}):
        ours, other = said.at(start), orc.at(start)
        if ours is None or other is None or Kind.UNDEFINED in {ours.kind, other.kind}:
            continue
        assert (ours.cfa_base, ours.cfa_offset) == (other.cfa_base, other.cfa_offset), hex(start)
        assert ours.fp_place == other.fp_place or other.fp_place == FpPlace.SAME
        compared += 1
    assert compared > 15


def test_objtool_reads_what_is_written(checked: tuple[Image, str], tmp_path: Path) -> None:
    if shutil.which("objcopy") is None:
        pytest.skip("needs objcopy, which is not installed")
    image, _ = checked
    table = to_orc(read_tables(image, [Format.DWARF])[Format.DWARF], X86_64, Layout.V6_1)
    places = image.section(".orc_unwind_ip")
    assert places is not None
    found = write_orc(table, X86_64, Layout.V6_1, places.address)
    (tmp_path / "unwind").write_bytes(found.unwind)
    (tmp_path / "ip").write_bytes(found.ip)
    update = [f"--update-section=.orc_unwind{tail}={tmp_path / name}" for tail, name in (("", "unwind"), ("_ip", "ip"))]
    copy = tmp_path / "copy.elf"
    done = subprocess.run(["objcopy", *update, image.path, copy], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {row.start: row.rule for row in table.rows}
    assert listed(dump(copy)) == rows | {table.rows[-1].end: Rule(Kind.UNDEFINED)}


@pytest.mark.parametrize("option", ["-fomit-frame-pointer", "-fno-omit-frame-pointer"])
def test_objtool_and_the_conversion_say_the_same_of_musl(option: str, tmp_path: Path) -> None:
    """Wherever objtool says anything: it gives up on functions with instructions that a kernel does not use."""
    checker = objtool()
    flags = ["-mno-red-zone", "-fno-jump-tables", option]
    image = musl_image(
        "x86_64",
        tmp_path,
        flags,
        lambda path: subprocess.run([checker, "--orc", path], check=True, capture_output=True),
    )
    orc = read_tables(image, [Format.ORC])[Format.ORC]
    said = to_orc(read_tables(image, [Format.DWARF])[Format.DWARF], X86_64, Layout.V6_1)
    silent = compared = 0
    for start in sorted({row.start for row in (*orc.rows, *said.rows)}):
        ours, other = said.at(start), orc.at(start)
        if ours is None or other is None or Kind.UNDEFINED in {ours.kind, other.kind}:
            silent += 1
            continue
        assert ours == other, hex(start)
        compared += 1
    assert compared > 400
    assert silent < compared
