"""The whole path: every mode, flavour and policy gives the program the same result and the layout its truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.images.image import Image, load_image, parse_image
from lab.layout import Flavour, Policy, Region, RewriteMap, Where
from rewriters import ANALYSED, REWRITERS, rewrite, unsupported_reason
from tests.rewriters import guests, machine

GuestOf = Callable[..., Image]
CASES = [
    (arch, mode, flavour, policy)
    for arch, mode in (("aarch64", "pac"), ("aarch64", "xray"), ("x86_64", "xray"))
    for flavour in Flavour
    for policy in Policy
    if not (arch == "x86_64" and flavour is Flavour.REGISTER)
]


def _name(value: object) -> str:
    return str(getattr(value, "value", value))


@pytest.mark.parametrize(("arch", "mode", "flavour", "policy"), CASES, ids=_name)
def test_same_result_and_true_layout(guest: GuestOf, arch: str, mode: str, flavour: Flavour, policy: Policy) -> None:
    image = guest(arch, mode, flavour)
    plain = machine.run(image)
    done = rewrite(image, mode, flavour, policy)
    new = machine.run(parse_image(done.data, image.path), done.map.layout)
    assert plain.result is not None
    assert new.result == plain.result
    assert new.wrong == []
    assert new.asked["shadow"] > 1000
    assert new.left in {0, None}
    assert "none" not in new.asked


@pytest.mark.parametrize(("arch", "mode", "flavour", "policy"), CASES, ids=_name)
def test_census_names_everything(guest: GuestOf, arch: str, mode: str, flavour: Flavour, policy: Policy) -> None:
    image = guest(arch, mode, flavour)
    census = rewrite(image, mode, flavour, policy).map.census
    out = {site.function for site in census.left_out}
    assert census.functions == len(image.functions)
    assert census.instrumented + len(out) == census.functions
    assert out <= {"_start", "leaf", "flagged", "setjmp", "longjmp"}
    assert all(site.reason for site in census.left_out)
    assert census.inline + census.out_of_line == census.sites


def test_only_code_that_cannot_be_known_is_unknown(guest: GuestOf) -> None:
    """longjmp writes x30 and has no site; everything else the guest executes has an answer."""
    image = guest("aarch64", "pac", Flavour.MEMORY)
    done = rewrite(image, "pac", Flavour.MEMORY, Policy.CHECK)
    outcome = machine.run(parse_image(done.data, image.path), done.map.layout)
    assert outcome.instructions == sum(outcome.asked.values())
    unknown = {image.locate(row.start).split("+")[0] for row in done.map.layout.rows if row.where is Where.UNKNOWN}
    assert unknown == {"longjmp"}


@pytest.mark.parametrize("policy", Policy, ids=_name)
@pytest.mark.parametrize(("arch", "mode"), [("aarch64", "pac"), ("aarch64", "xray"), ("x86_64", "xray")])
@pytest.mark.parametrize("flavour", [Flavour.PARALLEL, Flavour.MEMORY], ids=_name)
def test_overwritten_return_address(tmp_path: Path, arch: str, mode: str, flavour: Flavour, policy: Policy) -> None:
    """check traps, use returns through the shadow value, record lets it through."""
    source = r"""
    __attribute__((noinline)) long other(void) { return 7; }
    __attribute__((noinline)) long victim(long n) {
      volatile long *frame = __builtin_frame_address(0);
      frame[1] = *(volatile long *)&n;
      __asm__ volatile("" : : "r"(other()) : "memory");
      return 5;
    }
    extern char landed[];
    long compute(void) {
      long r = victim((long)landed);
      __asm__ volatile("" : "+r"(r));
      return r + 1;
    }
    """
    landing = {
        "aarch64": ".text\n.globl landed\nlanded: mov x0, #99\n mov x8, #93\n svc #0\n brk #0\n",
        "x86_64": ".text\n.globl landed\nlanded: mov $99, %edi\n mov $60, %eax\n syscall\n ud2\n",
    }[arch]
    sources = [guests.Source("a.c", source, guests.c_flags(arch, mode)), guests.Source("landed.s", landing)]
    image = load_image(guests.build_plain(tmp_path, arch, sources))
    done = rewrite(image, mode, flavour, policy)
    outcome = machine.run(parse_image(done.data, image.path), done.map.layout)
    expected = {Policy.RECORD: 99, Policy.USE: 6, Policy.CHECK: None}[policy]
    assert outcome.result == expected
    assert outcome.trapped == (policy is Policy.CHECK)


def test_map_survives_json(guest: GuestOf) -> None:
    done = rewrite(guest("aarch64", "xray"), "xray", Flavour.MEMORY, Policy.USE)
    assert RewriteMap.from_json(done.map.to_json(), "here") == done.map
    assert all(check["ok"] for check in done.map.checks.values())
    assert len(done.map.checks) >= 8


def test_rewriting_is_deterministic(guest: GuestOf) -> None:
    image = guest("x86_64", "xray")
    first, second = (rewrite(image, "xray", Flavour.MEMORY, Policy.CHECK) for _ in range(2))
    assert first == second


def test_input_file_is_untouched(guest: GuestOf) -> None:
    image = guest("x86_64", "xray")
    before = image.path.read_bytes()
    rewrite(image, "xray", Flavour.PARALLEL, Policy.CHECK)
    assert image.path.read_bytes() == before
    assert [p.name for p in image.path.parent.iterdir() if "rewrite" in p.name] == []


def test_shadow_cell_of_the_image_is_used(guest: GuestOf) -> None:
    image = guest("aarch64", "pac", Flavour.MEMORY)
    layout = rewrite(image, "pac", Flavour.MEMORY, Policy.USE).map.layout
    assert layout.cell == image.symbols["__unwindlab_ssp"]
    assert layout.limit - layout.base >= 64 << 10
    assert layout.provider == "image"


def test_what_fits_goes_in_line(guest: GuestOf) -> None:
    """One PAC word holds x18's push; XRay's eight words hold everything on AArch64; x86-64's eleven bytes do not."""
    counts = {}
    for arch, mode, flavour, policy in CASES:
        census = rewrite(guest(arch, mode, flavour), mode, flavour, policy).map.census
        counts[arch, mode, flavour, policy] = census.out_of_line
    assert counts["aarch64", "pac", Flavour.REGISTER, Policy.USE] == 0
    assert counts["aarch64", "pac", Flavour.PARALLEL, Policy.USE] > 0
    assert all(counts["aarch64", "xray", f, p] == 0 for f in Flavour for p in Policy)
    assert counts["x86_64", "xray", Flavour.PARALLEL, Policy.USE] == 0
    assert counts["x86_64", "xray", Flavour.PARALLEL, Policy.CHECK] > 0
    assert counts["x86_64", "xray", Flavour.MEMORY, Policy.USE] > 0


def test_regions(guest: GuestOf) -> None:
    image = guest("aarch64", "pac", Flavour.REGISTER)
    done = rewrite(image, "pac", Flavour.REGISTER, Policy.CHECK).map
    kinds = {piece.region for piece in done.inserted}
    assert kinds == {Region.INSERTED, Region.TRAMPOLINE}
    assert done.region(image.symbols["leaf"]) is Region.ORIGINAL
    stub = next(piece for piece in done.inserted if piece.function == "")
    assert {row.where for row in done.layout.rows if row.start == stub.start} == {Where.OUTERMOST}


def test_every_mode_has_a_reason_or_works() -> None:
    from lab.arch import ARCHES

    known = {
        (arch.name, mode, flavour): unsupported_reason(arch, mode, flavour) is None
        for arch in ARCHES
        for mode in REWRITERS
        for flavour in Flavour
    }
    assert sum(known.values()) == 8 + 5 * len(ANALYSED)
    assert not known["x86_64", "xray", Flavour.REGISTER]
    assert not known["x86_64", "pac", Flavour.MEMORY]


def test_importing_the_package_is_light() -> None:
    """The command line's --help asks for names only."""
    import subprocess
    import sys

    code = "import sys, rewriters; print(sorted({'lief', 'keystone', 'capstone', 'unicorn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
