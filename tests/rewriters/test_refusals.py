"""Every reason not to rewrite an image, one by one: one line, the file, the cause."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import InputError, RefusedError, UnsupportedError
from lab.images.image import Image, load_image, parse_image
from lab.layout import Flavour, Policy
from rewriters import rewrite
from tests.rewriters import guests, machine
from tests.rewriters.guests import Source, build, build_plain, c_flags

SIMPLE = "__attribute__((noinline)) long g(long a) { return a + 1; }\nlong compute(void) { return g(1) + g(2); }\n"
CHECK = Policy.CHECK


def _simple(folder: Path, arch: str, mode: str, *extra: Source, link: tuple[str, ...] = ("--build-id",)) -> Image:
    return load_image(build_plain(folder, arch, [Source("a.c", SIMPLE, c_flags(arch, mode)), *extra], link))


def _refused(image: Image, mode: str, flavour: Flavour, cause: str, kind: type[Exception] = RefusedError) -> None:
    with pytest.raises(kind, match=cause) as caught:
        rewrite(image, mode, flavour, CHECK)
    assert str(image.path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_register_on_x86(guest: Callable[..., Image]) -> None:
    _refused(guest("x86_64", "xray"), "xray", Flavour.REGISTER, "no register to reserve", UnsupportedError)


def test_pac_on_x86(guest: Callable[..., Image]) -> None:
    _refused(guest("x86_64", "xray"), "pac", Flavour.MEMORY, "no pointer-authentication", UnsupportedError)


def test_unknown_mode(guest: Callable[..., Image]) -> None:
    _refused(guest("x86_64", "xray"), "patch", Flavour.MEMORY, "unknown rewriter", UnsupportedError)


def test_no_paciasp(tmp_path: Path) -> None:
    _refused(_simple(tmp_path, "aarch64", "none"), "pac", Flavour.MEMORY, "-mbranch-protection=pac-ret")


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_no_sleds(tmp_path: Path, arch: str) -> None:
    _refused(_simple(tmp_path, arch, "none"), "xray", Flavour.MEMORY, "-fxray-instrument")


def test_bti_image(tmp_path: Path) -> None:
    """-mbranch-protection=standard: paciasp is the landing pad."""
    _refused(_simple(tmp_path, "aarch64", "bti"), "pac", Flavour.MEMORY, "landing pad")


def test_bti_instruction_without_the_note(tmp_path: Path) -> None:
    pad = Source("pad.s", ".text\n.globl pad\n.type pad,%function\npad: hint #34\n ret\n.size pad,.-pad\n")
    _refused(_simple(tmp_path, "aarch64", "pac", pad), "pac", Flavour.MEMORY, r"bti instruction at pad\+0x0")


@pytest.mark.parametrize("mode", ["pac", "xray"])
@pytest.mark.parametrize("line", ["mov x18, #1", "add w0, w1, w18", "stp x17, x18, [sp, #-16]!", "ldr x0, [x1, x18]"])
def test_x18_in_use(tmp_path: Path, mode: str, line: str) -> None:
    text = f".text\n.globl uses\n.type uses,%function\nuses: nop\n {line}\n ret\n.size uses,.-uses\n"
    image = _simple(tmp_path, "aarch64", mode, Source("uses.s", text))
    _refused(image, mode, Flavour.REGISTER, r"x18 is in use, first at uses\+0x4")
    assert rewrite(image, mode, Flavour.PARALLEL, CHECK).map.census.instrumented >= 1


def test_x18_in_code_without_a_symbol(tmp_path: Path) -> None:
    image = _simple(tmp_path, "aarch64", "pac", Source("uses.s", ".text\n mov x18, #1\n ret\n"))
    _refused(image, "pac", Flavour.REGISTER, "x18 is in use, first at 0x")


@pytest.mark.parametrize("flavour", Flavour)
def test_already_rewritten(tmp_path: Path, guest: Callable[..., Image], flavour: Flavour) -> None:
    done = rewrite(guest("aarch64", "pac", flavour), "pac", flavour, CHECK)
    again = tmp_path / "again.elf"
    again.write_bytes(done.data)
    _refused(load_image(again), "pac", flavour, "already rewritten")


def test_compilers_own_shadow_call_stack(tmp_path: Path) -> None:
    flags = (*c_flags("aarch64", "pac"), "-fsanitize=shadow-call-stack")
    image = load_image(build_plain(tmp_path, "aarch64", [Source("a.c", SIMPLE, flags)]))
    _refused(image, "pac", Flavour.MEMORY, "already has a shadow stack in x18")


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_filled_sleds_without_a_marker(tmp_path: Path, arch: str) -> None:
    """Parallel in sleds adds no segment; a second rewrite meets filled sleds."""
    image = _simple(tmp_path, arch, "xray")
    again = tmp_path / "again.elf"
    again.write_bytes(rewrite(image, "xray", Flavour.PARALLEL, Policy.USE).data)
    _refused(load_image(again), "xray", Flavour.PARALLEL, "no unfilled sled", InputError)


def test_stripped(tmp_path: Path) -> None:
    image = _simple(tmp_path / "a", "aarch64", "pac", link=("--build-id", "-s"))
    _refused(image, "pac", Flavour.MEMORY, "no symbols")
    census = rewrite(image, "pac", Flavour.PARALLEL, Policy.CHECK).map.census
    assert census.instrumented > 0
    whole = _simple(tmp_path / "b", "aarch64", "pac")
    assert census.instrumented == rewrite(whole, "pac", Flavour.PARALLEL, Policy.CHECK).map.census.instrumented


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_nothing_that_tells_functions(tmp_path: Path, arch: str) -> None:
    bare = ("-fno-asynchronous-unwind-tables", "-fno-unwind-tables")
    flags = (*c_flags(arch, "xray"), *bare)
    image = load_image(build_plain(tmp_path, arch, [Source("a.c", SIMPLE, flags)], ("--build-id", "-s")))
    _refused(image, "xray", Flavour.PARALLEL, "no functions: neither FUNC symbols nor .eh_frame")


def test_no_eh_frame(tmp_path: Path) -> None:
    flags = (*c_flags("aarch64", "pac"), "-fno-asynchronous-unwind-tables", "-fno-unwind-tables")
    image = load_image(build_plain(tmp_path, "aarch64", [Source("a.c", SIMPLE, flags)]))
    _refused(image, "pac", Flavour.MEMORY, "-fasynchronous-unwind-tables", InputError)


@pytest.mark.parametrize(
    ("arch", "flavour", "cause"),
    [
        ("aarch64", Flavour.REGISTER, "does not save or restore x18"),
        ("aarch64", Flavour.MEMORY, "no __unwindlab_ssp"),
        ("x86_64", Flavour.MEMORY, "no __unwindlab_ssp"),
    ],
)
def test_longjmp_that_would_unbalance(tmp_path: Path, arch: str, flavour: Flavour, cause: str) -> None:
    image = load_image(build(tmp_path, arch, "xray"))
    _refused(image, "xray", flavour, cause)
    assert rewrite(image, "xray", Flavour.PARALLEL, CHECK).map.census.instrumented > 1


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_longjmp_that_ignores_the_cell(tmp_path: Path, arch: str) -> None:
    cell = Source("cell.s", guests._CELL.replace("%object", "@object") if arch == "x86_64" else guests._CELL)
    image = load_image(build(tmp_path, arch, "xray", "", extra=(cell,)))
    _refused(image, "xray", Flavour.MEMORY, "does not save or restore __unwindlab_ssp")


def test_longjmp_without_a_size(tmp_path: Path) -> None:
    """musl's assembly gives its setjmp no .size: it is looked at all the same."""
    text = guests.jump_source("aarch64", "").replace(".size", "//.size")
    sources = [Source("a.c", SIMPLE, c_flags("aarch64", "pac")), Source("jump.s", text)]
    image = load_image(build_plain(tmp_path, "aarch64", sources))
    assert any(f.names == ("longjmp",) and not f.symbol for f in image.functions)
    _refused(image, "pac", Flavour.REGISTER, "longjmp does not save or restore x18|setjmp does not save or restore x18")


def test_exceptions(tmp_path: Path) -> None:
    thrower = Source("t.c", "void _Unwind_RaiseException(void) {}\n", c_flags("aarch64", "pac"))
    image = _simple(tmp_path, "aarch64", "pac", thrower)
    _refused(image, "pac", Flavour.MEMORY, "_Unwind_RaiseException")


def _without_slots(image: Image, folder: Path, keep: int = 0) -> Image:
    """*image* with all but *keep* of its PT_NOTE and PT_GNU_STACK headers turned into PT_NULL."""
    raw = bytearray(image.path.read_bytes())
    (table,) = struct.unpack_from("<Q", raw, 32)
    (count,) = struct.unpack_from("<H", raw, 56)
    for i in range(count):
        if struct.unpack_from("<I", raw, table + 56 * i)[0] in {4, 0x6474E551}:
            if keep:
                keep -= 1
            else:
                struct.pack_into("<I", raw, table + 56 * i, 0)
    path = folder / "noslot.elf"
    path.write_bytes(raw)
    return load_image(path)


def test_no_spare_program_header(tmp_path: Path) -> None:
    image = _without_slots(_simple(tmp_path, "aarch64", "pac"), tmp_path)
    _refused(image, "pac", Flavour.MEMORY, "no spare program header")
    _refused(image, "pac", Flavour.PARALLEL, "no spare program header")
    _refused(image, "pac", Flavour.REGISTER, "no spare program header")


def test_register_in_line_needs_no_program_header(tmp_path: Path) -> None:
    image = _without_slots(_simple(tmp_path, "aarch64", "pac"), tmp_path)
    done = rewrite(image, "pac", Flavour.REGISTER, Policy.USE)
    assert done.map.layout.provider == "environment"
    assert done.map.layout.base == done.map.layout.limit == 0
    again = tmp_path / "again.elf"
    again.write_bytes(done.data)
    _refused(load_image(again), "pac", Flavour.REGISTER, "already has a shadow stack in x18")


def test_gnu_stack_serves_where_there_is_no_note(tmp_path: Path) -> None:
    """One slot is enough where there is a writable segment to grow; without one, code and storage need two."""
    data = Source("d.c", "volatile long some_data = 3;\n", c_flags("aarch64", "pac"))
    image = _simple(tmp_path, "aarch64", "pac", data)
    assert rewrite(_without_slots(image, tmp_path, keep=1), "pac", Flavour.MEMORY, CHECK).map.layout.provider == "image"
    bare = _simple(tmp_path / "bare", "aarch64", "pac")
    done = rewrite(bare, "pac", Flavour.MEMORY, CHECK).map
    assert machine.run(bare).result is not None
    assert done.layout.limit - done.layout.base >= 64 << 10
    _refused(_without_slots(bare, tmp_path, keep=1), "pac", Flavour.MEMORY, "no spare program header")


def test_storage_in_a_segment_of_its_own_works(tmp_path: Path) -> None:
    for arch, mode in (("aarch64", "pac"), ("x86_64", "xray")):
        bare = _simple(tmp_path / arch, arch, mode)
        done = rewrite(bare, mode, Flavour.MEMORY, CHECK)
        outcome = machine.run(parse_image(done.data, bare.path), done.map.layout)
        assert (outcome.result, outcome.wrong, outcome.left) == (machine.run(bare).result, [], 0)


def test_function_with_bkey_is_left_out(tmp_path: Path) -> None:
    text = ".text\n.globl b\n.type b,%function\nb: hint #25\n hint #27\n ret\n.size b,.-b\n"
    image = _simple(tmp_path, "aarch64", "pac", Source("b.s", text))
    out = {site.function: site.reason for site in rewrite(image, "pac", Flavour.MEMORY, CHECK).map.census.left_out}
    assert "signs with key B" in out["b"]


def test_bkey_unwind_information_is_what_the_patcher_refuses(tmp_path: Path) -> None:
    other = Source("b.c", "long g(long);\nlong b(long a) { return g(a) + g(a + 1); }\n", c_flags("aarch64", "bkey"))
    _refused(_simple(tmp_path, "aarch64", "pac", other), "pac", Flavour.MEMORY, "augmentation 'zRB'", InputError)


def test_changed_on_disk(tmp_path: Path) -> None:
    image = _simple(tmp_path, "aarch64", "pac")
    image.path.write_bytes(image.path.read_bytes() + b"\0")
    _refused(image, "pac", Flavour.MEMORY, "changed on disk", InputError)


@pytest.mark.parametrize(("offset", "value", "cause"), [(18, 9, "unknown version 9"), (16, 77, "unknown kind 77")])
def test_damaged_records(tmp_path: Path, offset: int, value: int, cause: str) -> None:
    image = _simple(tmp_path, "x86_64", "xray")
    section = image.section("xray_instr_map")
    assert section is not None
    raw = bytearray(image.path.read_bytes())
    at = raw.find(section.data)
    raw[at + offset] = value
    image.path.write_bytes(raw)
    _refused(load_image(image.path), "xray", Flavour.MEMORY, cause, InputError)
