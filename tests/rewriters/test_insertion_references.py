"""Who may move and whose pointers follow: jump tables, addresses of code, and what is not understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import RefusedError
from lab.images.image import Image, load_image, parse_image
from lab.layout import Flavour, Policy, Region, RewriteMap
from rewriters import rewrite
from tests.rewriters import guests, machine
from tests.rewriters.guests import Source

ARCHES = ("aarch64", "x86_64")
FLAGS = {"aarch64": ("-O2", "-ffreestanding", "-ffixed-x18"), "x86_64": ("-O2", "-ffreestanding", "-mno-red-zone")}


def _insert(folder: Path, arch: str, *sources: Source) -> tuple[Image, RewriteMap, dict[str, str]]:
    """Build, rewrite, run both with the layout as oracle; the image, the map, and reasons by function."""
    image = load_image(guests.build_plain(folder, arch, list(sources)))
    plain = machine.run(image)
    done = rewrite(image, "insertion", Flavour.MEMORY, Policy.CHECK)
    new = machine.run(parse_image(done.data, image.path), done.map.layout)
    assert (new.result, new.wrong) == (plain.result, [])
    assert plain.result is not None
    return image, done.map, {out.function: out.reason for out in done.map.census.left_out}


def _named(image: Image, rewrite_map: RewriteMap, function: str) -> list[int]:
    """Places that named *function*'s start and now name its new one."""
    start = image.symbols[function]
    return [p.address for p in rewrite_map.patched if p.old == start and p.new != start]


POINTERS = r"""
#define N __attribute__((noinline))
N long one(long a) { return a + 1; }
N long two(long a) { return a * 2; }
typedef long (*Function)(long);
Function table[3] = {one, two, one};
N long same(Function volatile *a, Function b) { return *a == b; }
long compute(void) {
  Function volatile local = one;
  long equal = same(&table[0], one) + 2 * same(&table[1], one) + 4 * same(&local, table[2]);
  return equal + 8 * table[1](20) + local(5) * 1000;
}
"""


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("pic", [(), ("-fPIC",)], ids=["fixed", "pic"])
def test_pointers_follow_their_function_and_stay_equal(tmp_path: Path, arch: str, pic: tuple[str, ...]) -> None:
    image, rewrite_map, _ = _insert(tmp_path, arch, Source("a.c", POINTERS, (*FLAGS[arch], *pic)))
    table = image.symbols["table"]
    assert {table, table + 16} <= set(_named(image, rewrite_map, "one"))
    assert table + 8 in _named(image, rewrite_map, "two")


OFFSET = {
    "aarch64": "\n.section .rodata\n.balign 4\nodd: .word one - .\n",
    "x86_64": "\n.section .rodata\n.balign 4\nodd: .long one - .\n",
}


@pytest.mark.parametrize("arch", ARCHES)
def test_a_reference_that_is_not_understood_keeps_all_pointers(tmp_path: Path, arch: str) -> None:
    """A distance to the function in data: its pointers keep the old entry, which leads to the new one."""
    sources = [Source("a.c", POINTERS, FLAGS[arch]), Source("odd.s", OFFSET[arch])]
    image, rewrite_map, out = _insert(tmp_path, arch, *sources)
    assert _named(image, rewrite_map, "one") == []
    assert image.symbols["table"] + 8 in _named(image, rewrite_map, "two")
    assert "one" not in out


SWITCH = r"""
#define N __attribute__((noinline))
N long leaf(long a) { return a * 3 + 1; }
N long choose(long n, long a) {
  switch (n) {
    case 0: return leaf(a);        case 1: return leaf(a) + 4;    case 2: return leaf(a) * 5;
    case 3: return leaf(a) ^ 9;    case 4: return leaf(a + 1);    case 5: return leaf(a) - leaf(2);
    case 6: return leaf(a) << 2;   case 7: return leaf(a) / 3;    case 8: return leaf(a) % 5;
    case 9: return leaf(leaf(a));  case 10: return leaf(a) | 1;   case 11: return leaf(a) & 6;
  }
  return leaf(n);
}
long compute(void) { long s = 0; for (long i = -1; i < 14; i++) s = s * 7 + choose(i, s & 15); return s; }
"""


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("pic", [(), ("-fPIC",)], ids=["fixed", "pic"])
def test_jump_tables_follow_the_code(tmp_path: Path, arch: str, pic: tuple[str, ...]) -> None:
    image, rewrite_map, out = _insert(tmp_path, arch, Source("a.c", SWITCH, (*FLAGS[arch], *pic)))
    choose = image.function_at(image.symbols["choose"])
    assert choose is not None and "choose" not in out
    rodata = image.section(".rodata")
    assert rodata is not None
    inside = range(rodata.address, rodata.address + rodata.size)
    entries = [p for p in rewrite_map.patched if p.address in inside and choose.start < p.old < choose.end]
    assert len(entries) == 12


def _computed(bound: str) -> str:
    """gcc's form of a compact table, its bound checked by *bound*; the entries are no relocations."""
    return f"""
.text
.globl compute
.type compute,%function
compute: stp x29, x30, [sp, #-32]!
 mov x29, sp
 str x19, [sp, #16]
 mov x19, #0
1: mov x0, x19
 bl pick
 add x19, x19, x0
 cmp x19, #200
 b.lo 1b
 mov x0, x19
 ldr x19, [sp, #16]
 ldp x29, x30, [sp], #32
 ret
.size compute,.-compute
.globl pick
.type pick,%function
pick: and x1, x0, #3
{bound}
 adrp x2, steps
 add x2, x2, :lo12:steps
 ldrb w2, [x2, w1, uxtw]
 adr x3, .Lbase
 add x2, x3, w2, sxtb #2
 br x2
.Lbase:
 mov x0, #1
 ret
.L1: mov x0, #20
 ret
.L2: mov x0, #30
 b leaf
.L3: mov x0, #4
9: ret
.size pick,.-pick
.globl leaf
.type leaf,%function
leaf: add x0, x0, #3
 ret
.size leaf,.-leaf
.section .rodata
steps: .byte 0, (.L1 - .Lbase) / 4, (.L2 - .Lbase) / 4, (.L3 - .Lbase) / 4
"""


def test_a_compact_table_with_a_bound_is_rewritten(tmp_path: Path) -> None:
    image, rewrite_map, _ = _insert(tmp_path, "aarch64", Source("a.s", _computed(" cmp w1, #3\n b.hi 9f")))
    steps = image.symbols["steps"]
    assert sorted(p.address - steps for p in rewrite_map.patched if 0 <= p.address - steps < 4) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "bound", [" nop\n nop", " cmp w1, #3\n b.hi 9f\n mov w1, w0\n and w1, w1, #3"], ids=["none", "lost"]
)
def test_without_a_bound_every_instruction_keeps_its_distance(tmp_path: Path, bound: str) -> None:
    """How long the table is cannot be told: the body is kept, and exits go behind it."""
    image, rewrite_map, out = _insert(tmp_path, "aarch64", Source("a.s", _computed(bound)))
    steps = image.symbols["steps"]
    assert not [p for p in rewrite_map.patched if 0 <= p.address - steps < 4]
    assert "pick" not in out
    start, end = image.symbols["pick"], image.symbols["leaf"]
    inner = [c for c in rewrite_map.carried if start <= c.old < end and c.old_size == c.new_size]
    assert len({c.new - c.old for c in inner if c.old < start + 4 * 8}) == 1


INNER = {
    "aarch64": (" adrp x0, inner\n add x0, x0, :lo12:inner\n", " ret"),
    "x86_64": (" lea inner(%rip), %rax\n", " ret"),
}


@pytest.mark.parametrize("arch", ARCHES)
def test_a_function_whose_middle_is_known_elsewhere_stays(tmp_path: Path, arch: str) -> None:
    kind = "%function" if arch == "aarch64" else "@function"
    form, ret = INNER[arch]
    one = " mov x0, #1\n" if arch == "aarch64" else " mov $1, %eax\n"
    text = f"""
.text
.globl taker
.type taker,{kind}
taker: nop
{form}{ret}
.size taker,.-taker
.globl taken
.type taken,{kind}
taken: nop
 nop
 nop
 nop
 nop
.globl inner
inner:
{one}{ret}
.size taken,.-taken
"""
    sources = [
        Source("a.s", text),
        Source("b.c", "long taker(void), taken(void); long compute(void) { return taken() + !taker(); }", FLAGS[arch]),
    ]
    _, rewrite_map, out = _insert(tmp_path, arch, *sources)
    assert "middle" in out["taken"] or "its address is formed" in out["taken"]
    assert {"taker", "compute"} <= {p.function for p in rewrite_map.inserted if p.region is Region.MOVED}


LABELS = r"""
__attribute__((noinline)) long leaf(long a) { return a + 3; }
__attribute__((noinline)) long run(const unsigned char *code) {
  static const void *const go[] = {&&add, &&twice, &&call, &&end};
  long s = 1;
  goto *go[*code++];
add: s += 5; goto *go[*code++];
twice: s *= 2; goto *go[*code++];
call: s = leaf(s); goto *go[*code++];
end: return s;
}
long compute(void) { return run((const unsigned char *)"\0\1\2\1\0\2\3"); }
"""


@pytest.mark.parametrize("arch", ARCHES)
def test_a_table_of_labels_moves_with_its_function_or_keeps_it(tmp_path: Path, arch: str) -> None:
    image, rewrite_map, out = _insert(tmp_path, arch, Source("a.c", LABELS, FLAGS[arch]))
    moved = {p.function for p in rewrite_map.inserted if p.region is Region.MOVED}
    start = image.symbols["run"]
    run = image.function_at(start)
    assert run is not None
    labels = [p for p in rewrite_map.patched if run.start < p.old < run.end]
    assert ("run" in moved and len(labels) >= 4) or out["run"]
    assert arch == "x86_64" or "run" in out  # a table of addresses is not one AArch64 compilers make for a switch


@pytest.mark.parametrize("arch", ARCHES)
def test_patchable_nops_are_found_where_they_went(tmp_path: Path, arch: str) -> None:
    flags = (*FLAGS[arch], "-fpatchable-function-entry=2")
    image, rewrite_map, _ = _insert(tmp_path, arch, Source("a.c", SWITCH, flags))
    section = image.section("__patchable_function_entries")
    assert section is not None
    moved = [p for p in rewrite_map.patched if section.address <= p.address < section.address + section.size]
    assert len(moved) >= 3
    new = {p.start: p.function for p in rewrite_map.inserted if p.region is Region.MOVED}
    assert {p.new for p in moved} <= set(new)


def test_an_image_without_relocations_is_refused(tmp_path: Path) -> None:
    folder = tmp_path
    units = [Source("start.s", guests.START["x86_64"]), Source("a.c", SWITCH, guests.c_flags("x86_64", "none"))]
    objects = [guests.compile_one("x86_64", unit, folder) for unit in units]
    image = load_image(guests.link(objects, folder / "stripped.elf", ("--build-id", "-s")))
    with pytest.raises(RefusedError, match="--emit-relocs"):
        rewrite(image, "insertion", Flavour.PARALLEL, Policy.RECORD)
