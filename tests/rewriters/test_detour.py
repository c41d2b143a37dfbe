"""Detour: bodies stay, entries and exits go through trampolines; on every architecture, flavour and policy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import RefusedError
from lab.images.flow import decode_function
from lab.images.image import Image, load_image, parse_image
from lab.layout import Flavour, Leaves, Policy, Region
from rewriters import rewrite
from rewriters.detour.windows import NoWindow, Windows
from tests.rewriters import guests, machine
from tests.rewriters.guests import Source

GuestOf = Callable[..., Image]
CASES = [
    (arch, flavour, policy)
    for arch in ("aarch64", "x86_64")
    for flavour in Flavour
    for policy in Policy
    if not (arch == "x86_64" and flavour is Flavour.REGISTER)
]
#: setjmp and longjmp as C libraries have them: SP behind a free word (AArch64), nothing from 0x40 on (x86-64).
JUMPS = {
    "aarch64": guests.jump_source("aarch64", "").replace("[x0, #96]", "[x0, #104]"),
    "x86_64": guests.jump_source("x86_64", ""),
}


def _name(value: object) -> str:
    return str(getattr(value, "value", value))


def _checked(image: Image, flavour: Flavour, policy: Policy, leaves: Leaves = Leaves.ALL) -> machine.Outcome:
    """Rewrite and run: the same result, and the layout's truth at every instruction."""
    plain = machine.run(image)
    done = rewrite(image, "detour", flavour, policy, leaves)
    new = machine.run(parse_image(done.data, image.path), done.map.layout)
    assert plain.result is not None
    assert new.result == plain.result
    assert new.wrong == []
    assert new.left in {0, None}
    return new


@pytest.mark.parametrize("leaves", Leaves, ids=_name)
@pytest.mark.parametrize(("arch", "flavour", "policy"), CASES, ids=_name)
def test_same_result_and_true_layout(
    guest: GuestOf, arch: str, flavour: Flavour, policy: Policy, leaves: Leaves
) -> None:
    new = _checked(guest(arch, "none", flavour), flavour, policy, leaves)
    assert new.asked["shadow"] > 1000


@pytest.mark.parametrize(("arch", "flavour"), [(a, f) for a, f, p in CASES if p is Policy.CHECK], ids=_name)
def test_a_jump_takes_the_pointer_along(tmp_path: Path, arch: str, flavour: Flavour) -> None:
    """The image's setjmp knows nothing of shadow stacks; hooked, it keeps the pointer in a free word."""
    flags = guests.c_flags(arch, "none")
    sources = [Source("a.c", guests.MAIN, flags), Source("f.s", guests.FLAGGED[arch]), Source("j.s", JUMPS[arch])]
    image = load_image(guests.build_plain(tmp_path, arch, sources))
    new = _checked(image, flavour, Policy.CHECK)
    assert not new.trapped


def test_a_jmp_buf_without_a_free_word_is_refused(tmp_path: Path) -> None:
    sources = [
        Source("a.c", guests.MAIN, guests.c_flags("aarch64", "none")),
        Source("f.s", guests.FLAGGED["aarch64"]),
        Source("j.s", guests.jump_source("aarch64", "")),
    ]
    image = load_image(guests.build_plain(tmp_path, "aarch64", sources))
    with pytest.raises(RefusedError, match="uses the word at 0x60 of its jmp_buf"):
        rewrite(image, "detour", Flavour.MEMORY, Policy.CHECK)


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_the_census_names_everything(guest: GuestOf, arch: str) -> None:
    image = guest(arch, "none", Flavour.MEMORY)
    census = rewrite(image, "detour", Flavour.MEMORY, Policy.CHECK).map.census
    out = {site.function: site.reason for site in census.left_out}
    assert census.instrumented + len(out) == census.functions == len(image.functions)
    assert all(out.values())
    assert census.calling > 5
    # x86-64 needs five bytes at every exit, and small functions do not have them.
    assert census.calling_instrumented >= (census.calling if arch == "aarch64" else 0.6 * census.calling)
    assert census.decoded >= census.understood > 0


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_leaves_are_left_alone_when_asked(guest: GuestOf, arch: str) -> None:
    image = guest(arch, "none", Flavour.MEMORY)
    census = rewrite(image, "detour", "memory", Policy.USE, Leaves.SKIP).map.census
    out = {site.function: site.reason for site in census.left_out}
    assert "leaf" in out["leaf"]
    assert "fib" not in out


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_only_windows_change_and_all_of_them_jump_to_new_text(guest: GuestOf, arch: str) -> None:
    image = guest(arch, "none", Flavour.MEMORY)
    done = rewrite(image, "detour", Flavour.MEMORY, Policy.CHECK)
    new = parse_image(done.data, image.path)
    windows = [p for p in done.map.inserted if p.region is Region.INSERTED]
    text = next(s for s in new.sections if s.name == ".text")
    old = next(s for s in image.sections if s.name == ".text")
    changed = {text.address + i for i, (a, b) in enumerate(zip(old.data, text.data, strict=True)) if a != b}
    assert changed <= {address for w in windows for address in range(w.start, w.end)}
    assert len(windows) == done.map.census.out_of_line > 20


BTI = guests.c_flags("aarch64", "bti")


def test_landing_pads_stay_where_branch_targets_are_enforced(tmp_path: Path) -> None:
    """paciasp is a landing pad: a bti c takes its place, and every function still begins with a pad."""
    sources = [
        Source("a.c", guests.MAIN, BTI),
        Source("f.s", guests.FLAGGED["aarch64"]),
        Source("j.s", JUMPS["aarch64"]),
    ]
    image = load_image(guests.build_plain(tmp_path, "aarch64", sources, ("--build-id", "-z", "force-bti")))
    _checked(image, Flavour.MEMORY, Policy.CHECK)
    new = parse_image(rewrite(image, "detour", Flavour.MEMORY, Policy.CHECK).data, image.path)
    for name in ("fib", "table", "room", "deep"):
        function = next(f for f in image.functions if f.name == name)
        assert new.read(function.start, 4).hex() in {"5f2403d5", "3f2303d5"}, name


@pytest.mark.parametrize("ask", ["at_start", "at_end"])
def test_no_window_where_no_instruction_begins(guest: GuestOf, ask: str) -> None:
    """What a damaged symbol calls a function may have none at its entry."""
    image = guest("x86_64", "none", Flavour.MEMORY)
    function = next(f for f in image.functions if f.size > 40)
    windows = Windows(image, lambda: decode_function(image, function), (), function.end)
    with pytest.raises(NoWindow, match="no instruction of its own begins here"):
        getattr(windows, ask)(function.start - 1)
