"""Insertion: functions copied with their sequences in line; on every architecture, flavour and policy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from lab.arch.decode import Kind, decode
from lab.images.image import Image, load_image, parse_image
from lab.layout import Flavour, Leaves, Policy, Region
from rewriters import rewrite, rewriting, verify
from rewriters.insertion.prepare import prepare
from tests.rewriters import guests, machine
from tests.rewriters.guests import Source

GuestOf = Callable[..., Image]
ARCHES = ("aarch64", "x86_64")
CASES = [
    (arch, flavour, policy)
    for arch in ARCHES
    for flavour in Flavour
    for policy in Policy
    if not (arch == "x86_64" and flavour is Flavour.REGISTER)
]


def _name(value: object) -> str:
    return str(getattr(value, "value", value))


def _checked(image: Image, flavour: Flavour, policy: Policy, leaves: Leaves = Leaves.ALL) -> machine.Outcome:
    """Rewrite and run: the same result, and the layout's truth at every instruction."""
    plain = machine.run(image)
    done = rewrite(image, "insertion", flavour, policy, leaves)
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


@pytest.mark.parametrize("arch", ARCHES)
def test_moving_alone_changes_nothing(guest: GuestOf, arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rewriting._PREPARE, "insertion", partial(prepare, copy_only=True))
    for check in ("pushed once and popped once", "layout rows are true", "census accounts for every function"):
        monkeypatch.delitem(verify.CHECKS, check)  # nothing is pushed
    image = guest(arch, "none", Flavour.MEMORY)
    plain = machine.run(image)
    done = rewrite(image, "insertion", Flavour.PARALLEL, Policy.RECORD)
    new = machine.run(parse_image(done.data, image.path))
    assert new.result == plain.result is not None
    # An address formed in one instruction may take two; the entry stub is ours.
    assert plain.instructions <= new.instructions < plain.instructions + 100
    assert sum(p.region is Region.MOVED for p in done.map.inserted) > 10


@pytest.mark.parametrize("arch", ARCHES)
def test_the_same_image_gives_the_same_bytes(guest: GuestOf, arch: str) -> None:
    image = guest(arch, "none", Flavour.MEMORY)
    one, other = (rewrite(image, "insertion", Flavour.MEMORY, Policy.CHECK) for _ in range(2))
    assert one.data == other.data
    assert one.map == other.map


@pytest.mark.parametrize("arch", ARCHES)
def test_an_old_body_is_a_jump_and_traps(guest: GuestOf, arch: str) -> None:
    image = guest(arch, "none", Flavour.MEMORY)
    done = rewrite(image, "insertion", Flavour.MEMORY, Policy.CHECK)
    new = parse_image(done.data, image.path)
    moved = {p.function: p for p in done.map.inserted if p.region is Region.MOVED}
    dead = [p for p in done.map.inserted if p.region is Region.DEAD]
    assert len(moved) == done.map.census.instrumented > 10
    for name, body in moved.items():
        old = next(f for f in image.functions if name in f.names)
        first, *rest = decode(new.arch, new.read(old.start, old.size), old.start)
        assert (first.kind, first.target) == (Kind.JUMP, body.start)
        assert all(insn.kind is Kind.TRAP for insn in rest)
    assert sum(p.end - p.start for p in dead) > 500


@pytest.mark.parametrize("arch", ARCHES)
def test_nothing_runs_by_way_of_an_old_entry(guest: GuestOf, arch: str) -> None:
    """Calls, tail calls, pointers in data and jump tables all name the new code."""
    image = guest(arch, "none", Flavour.MEMORY)
    done = rewrite(image, "insertion", Flavour.MEMORY, Policy.USE)
    run = machine.Guest(parse_image(done.data, image.path), done.map.layout)
    run.run()
    moved = {
        f.start
        for f in image.functions
        for p in done.map.inserted
        if p.region is Region.MOVED and p.function in f.names
    }
    assert run.outcome.result == machine.run(image).result
    assert not {image.function_at(pc).start for pc in run.decoded if image.function_at(pc)} & moved  # type: ignore[union-attr]


SHRINK = {
    "aarch64": r"""
.text
.globl compute
.type compute,%function
compute: stp x29, x30, [sp, #-32]!
 mov x29, sp
 str x19, [sp, #16]
 mov x19, #0
1: mov x0, x19
 bl shrunk
 add x19, x19, #1
 cmp x19, #10
 b.ne 1b
 ldr x19, [sp, #16]
 ldp x29, x30, [sp], #32
 ret
.size compute,.-compute
.globl shrunk
.type shrunk,%function
shrunk: cmp x0, #7
 b.ne 2f
 sub sp, sp, #32
 stp x29, x30, [sp, #16]
 add x29, sp, #16
 bl leaf
 ldp x29, x30, [sp, #16]
 add sp, sp, #32
2: add x0, x0, #1
 ret
.size shrunk,.-shrunk
.globl leaf
.type leaf,%function
leaf: add x0, x0, #3
 ret
.size leaf,.-leaf
"""
}


@pytest.mark.parametrize("flavour", Flavour, ids=_name)
def test_a_path_without_a_frame_costs_nothing(tmp_path: Path, flavour: Flavour) -> None:
    """shrunk builds its frame for one value in ten: only then is anything pushed."""
    image = load_image(guests.build_plain(tmp_path, "aarch64", [Source("s.s", SHRINK["aarch64"])]))
    done = rewrite(image, "insertion", flavour, Policy.USE, Leaves.SKIP)
    run = machine.Guest(parse_image(done.data, image.path), done.map.layout)
    run.run()
    assert run.outcome.wrong == []
    body = next(p for p in done.map.inserted if p.region is Region.MOVED and p.function == "shrunk")
    shadow = [row for row in done.map.layout.rows if row.where.value == "shadow" and body.start <= row.start < body.end]
    assert 0 < sum(row.end - row.start for row in shadow) < body.end - body.start - 16
    pushed = "str x30" if flavour is not Flavour.PARALLEL else "sub x16, sp"
    assert any(insn.text.startswith(pushed) for pc, insn in run.decoded.items() if body.start <= pc < body.end)
    _checked(image, flavour, Policy.CHECK, Leaves.SKIP)


@pytest.mark.parametrize("policy", Policy, ids=_name)
def test_branches_reach_in_a_function_longer_than_tbz_does(tmp_path: Path, policy: Policy) -> None:
    filler = " add x1, x1, #1\n" * 9000
    text = f"""
.text
.globl compute
.type compute,%function
compute: stp x29, x30, [sp, #-16]!
 mov x29, sp
 mov x0, #5
 bl long
 ldp x29, x30, [sp], #16
 ret
.size compute,.-compute
.globl leaf
.type leaf,%function
leaf: mov x0, #77
 ret
.size leaf,.-leaf
.globl long
.type long,%function
long: tbnz x0, #0, 1f
 ret
1: tbz x0, #2, leaf
 cbz x0, leaf
 mov x1, #0
{filler}
 add x0, x0, x1
 tbz x0, #63, 2f
 ret
2: add x0, x0, #1
 ret
.size long,.-long
"""
    image = load_image(guests.build_plain(tmp_path, "aarch64", [Source("s.s", text)]))
    new = _checked(image, Flavour.MEMORY, policy)
    assert new.result == 9006


PREFIX = """
.intel_syntax noprefix
.text
.globl compute
.type compute,@function
compute: push rbp
 mov rbp, rsp
 mov eax, 0
 call swap
 mov eax, 5
 call swap
 mov eax, dword ptr [rip + word]
 pop rbp
 ret
.size compute,.-compute
.globl swap
.type swap,@function
swap: mov ecx, 5
 test eax, eax
 je 1f
 mov ecx, 9
 .byte 0xf0
1: cmpxchg dword ptr [rip + word], ecx
 jne 2f
 ret
2: mov dword ptr [rip + word], 99
 ret
.size swap,.-swap
.data
.balign 4
word: .long 0
"""


def test_a_jump_over_a_lock_prefix_still_goes_there(tmp_path: Path) -> None:
    """One instruction with two entries, as C libraries have it; and a verifier that sees a wrong one."""
    image = load_image(guests.build_plain(tmp_path, "x86_64", [Source("s.s", PREFIX)]))
    new = _checked(image, Flavour.MEMORY, Policy.CHECK)
    assert new.result == 9
    done = rewrite(image, "insertion", Flavour.MEMORY, Policy.CHECK)
    assert {"compute", "swap"} <= {p.function for p in done.map.inserted if p.region is Region.MOVED}
    body = next(p for p in done.map.inserted if p.region is Region.MOVED and p.function == "swap")
    changed = parse_image(done.data, image.path)
    code = list(decode(changed.arch, changed.read(body.start, body.end - body.start), body.start))
    locked = next(insn for insn in code if insn.mnemonic.startswith("lock"))
    branch = next(insn for insn in code if insn.target == locked.address + 1)
    data = bytearray(done.data)
    home = next(s for s in changed.segments if s.address <= branch.address < s.end)
    at = data.index(home.data[branch.address - home.address : locked.end - home.address]) + branch.size - 4
    data[at] -= 1  # now with the prefix
    report = verify.static_checks(image, parse_image(bytes(data), image.path), done.map)
    assert not report["control goes where it went"]["ok"]
