"""Functions whose sites do not pair up, or that have no dead register, are left out whole and say why."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.images.image import load_image, parse_image
from lab.layout import Flavour, Policy, RewriteMap, Where
from rewriters import rewrite
from tests.rewriters import machine
from tests.rewriters.guests import Source, build_plain, c_flags

HEAD = ".text\n.globl {n}\n.type {n},%function\n{n}: .cfi_startproc\n"
TAIL = "\n.cfi_endproc\n.size {n},.-{n}\n"
NEGATE = "\n.cfi_negate_ra_state\n"
PUSH, POP = "hint #25" + NEGATE, "hint #29" + NEGATE
GOOD = """long g(long a);
long k(long a) { return g(a) + g(a + 2); }
__attribute__((noinline)) long g(long a) { return a + 1; }
"""
MAIN = GOOD + "long odd_one(long);\nlong compute(void) { return k(1) + odd_one(3); }\n"


def _function(body: str, name: str = "odd_one") -> str:
    return HEAD.format(n=name) + body + TAIL.format(n=name)


def _rewrite(folder: Path, body: str, flavour: Flavour = Flavour.MEMORY) -> tuple[RewriteMap, dict[str, str]]:
    sources = [Source("a.c", MAIN, c_flags("aarch64", "pac")), Source("odd.s", _function(body))]
    image = load_image(build_plain(folder, "aarch64", sources))
    done = rewrite(image, "pac", flavour, Policy.CHECK)
    plain, new = machine.run(image), machine.run(parse_image(done.data, image.path), done.map.layout)
    assert new.wrong == []
    assert plain.result == new.result
    return done.map, {site.function: site.reason for site in done.map.census.left_out}


SAVE, RESTORE = "stp x29, x30, [sp, #-16]!\n mov x29, sp\n", " ldp x29, x30, [sp], #16\n"
BODY = SAVE + " bl g\n" + RESTORE

CASES = {
    "no pop on one path": (
        PUSH + SAVE + " bl g\n cbz x0, 1f\n" + RESTORE + POP + " ret\n1:" + RESTORE + " hint #28\n ret",
        "returns without a pop",
    ),
    "tail call without a pop": (PUSH + BODY + " cbz x0, g\n" + POP + " ret", "jumps out of the function without a pop"),
    "two pushes": (PUSH + PUSH + BODY + POP + POP + " ret", "push twice"),
    "pop first": ("cbz x0, 1f\n" + PUSH + BODY + POP + " ret\n1: " + POP + " ret", "pop what it has not pushed"),
    "paths meet": (
        "cbz x0, 1f\n" + PUSH + SAVE + " bl g\n" + RESTORE + "1: mov x1, x0\n cbz x1, 2f\n" + POP + "2: ret",
        "paths with and without a push meet",
    ),
    "retaa": ("cbnz x0, 1f\n" + PUSH + BODY + ".inst 0xd65f0bff\n1: " + PUSH + BODY + POP + " ret", "retaa"),
    "unwind information silent": (".inst 0xd503233f\n" + BODY + ".inst 0xd50323bf\n ret", ".eh_frame does not name"),
    "change before the instruction": (
        ".cfi_negate_ra_state\n hint #25\n" + BODY + " .cfi_negate_ra_state\n hint #29\n ret",
        ".eh_frame does not name the site|no PAC instruction",
    ),
    "loop to the own entry": (
        PUSH + SAVE + " bl g\n cmp x0, #100\n" + RESTORE + " b.lt odd_one\n" + POP + " ret",
        "paths with and without a push meet|push twice",
    ),
    "x30 gone at the push": ("mov x9, x30\n bl g\n mov x30, x9\n" + PUSH + BODY + POP + " ret", "x30 no longer holds"),
}


@pytest.mark.parametrize(("body", "cause"), CASES.values(), ids=CASES.keys())
def test_left_out_with_its_reason(tmp_path: Path, body: str, cause: str) -> None:
    import re

    sources = [Source("a.c", MAIN, c_flags("aarch64", "pac")), Source("odd.s", _function(body))]
    image = load_image(build_plain(tmp_path, "aarch64", sources))
    done = rewrite(image, "pac", Flavour.MEMORY, Policy.CHECK)
    out = {site.function: site.reason for site in done.map.census.left_out}
    assert re.search(cause, out["odd_one"]), out["odd_one"]
    function = next(f for f in image.functions if f.name == "odd_one")
    new = parse_image(done.data, image.path)
    assert new.read(function.start, function.size) == image.read(function.start, function.size)


def test_sp_not_at_entry_matters_to_parallel_only(tmp_path: Path) -> None:
    body = "sub sp, sp, #32\n" + PUSH + SAVE + " bl g\n" + RESTORE + POP + " add sp, sp, #32\n ret"
    _, out = _rewrite(tmp_path / "p", body, Flavour.PARALLEL)
    assert "stack pointer" in out["odd_one"]
    _, out = _rewrite(tmp_path / "m", body, Flavour.MEMORY)
    assert "odd_one" not in out


def test_live_scratch_is_not_touched(tmp_path: Path) -> None:
    """x16 carries a value across the pop: another register is used, and the result stays right."""
    body = PUSH + SAVE + " bl g\n mov x16, #7\n mov x17, #5\n" + RESTORE + POP + " add x0, x16, x17\n ret"
    rewrite_map, out = _rewrite(tmp_path, body)
    assert "odd_one" not in out
    assert rewrite_map.census.instrumented >= 2


def test_no_dead_scratch_leaves_the_function_out(tmp_path: Path) -> None:
    loads = "".join(f" mov x{i}, #{i}\n" for i in range(9, 18))
    adds = "".join(f" add x0, x0, x{i}\n" for i in range(9, 18))
    _, out = _rewrite(tmp_path, PUSH + SAVE + " bl g\n" + loads + RESTORE + POP + adds + " ret")
    assert "dead scratch" in out["odd_one"]


def test_registers_kept_across_calls_are_no_scratch(tmp_path: Path) -> None:
    """A caller that keeps x9..x15 over a call (-fipa-ra): a callee may not use them, even where it finds them dead."""
    keeper = " stp x29, x30, [sp, #-16]!\n" + "".join(f" mov x{i}, #1\n" for i in range(9, 16))
    keeper += " bl odd_one\n" + "".join(f" add x0, x0, x{i}\n" for i in range(9, 16)) + RESTORE + " ret"
    busy = (
        PUSH + SAVE + " mov x16, #7\n bl bare\n mov x16, #7\n mov x17, #5\n" + RESTORE + POP + " add x0, x16, x17\n ret"
    )
    main = GOOD + "long keeper(long);\nlong compute(void) { return k(1) + keeper(3); }\n"
    sources = [
        Source("a.c", main, c_flags("aarch64", "pac")),
        Source("odd.s", _function(busy) + _function(keeper, "keeper") + _function("ret", "bare")),
    ]
    image = load_image(build_plain(tmp_path, "aarch64", sources))
    done = rewrite(image, "pac", Flavour.MEMORY, Policy.CHECK)
    assert "dead scratch" in {s.function: s.reason for s in done.map.census.left_out}["odd_one"]
    assert machine.run(parse_image(done.data, image.path), done.map.layout).result == machine.run(image).result


def test_jump_into_the_middle(tmp_path: Path) -> None:
    body = PUSH + BODY + "middle: nop\n" + POP + " ret"
    other = _function("cbz x0, 1f\n b middle\n1: ret", "stranger")
    sources = [Source("a.c", MAIN, c_flags("aarch64", "pac")), Source("odd.s", _function(body) + other)]
    image = load_image(build_plain(tmp_path, "aarch64", sources))
    made = rewrite(image, "pac", Flavour.MEMORY, Policy.CHECK).map
    assert "stranger jumps into its middle" in {s.function: s.reason for s in made.census.left_out}["odd_one"]
    at = image.symbols["odd_one"]
    (row,) = [row for row in made.layout.rows if row.start <= at < row.end]
    assert (row.where, "stranger" in row.reason) == (Where.UNKNOWN, True), "its own flow is not the whole story"


def test_site_outside_any_function(tmp_path: Path) -> None:
    code = (PUSH + POP).replace(".cfi_negate_ra_state", "")
    loose = ".text\n " + code + " ret\n"  # neither a symbol nor unwind information
    sources = [
        Source("a.c", GOOD + "long compute(void) { return k(1); }\n", c_flags("aarch64", "pac")),
        Source("l.s", loose),
    ]
    image = load_image(build_plain(tmp_path, "aarch64", sources))
    census = rewrite(image, "pac", Flavour.MEMORY, Policy.CHECK).map.census
    assert [s.reason for s in census.left_out if not s.function] == ["the site lies in no function"] * 2


def test_signing_function_is_no_sled_target(tmp_path: Path) -> None:
    flags = (*c_flags("aarch64", "xray"), "-mbranch-protection=pac-ret")
    main = MAIN.replace("odd_one(3)", "g(3)")
    plain = Source("b.c", "long g(long);\nlong extra(long a) { return g(a) + 1; }\n", c_flags("aarch64", "xray"))
    image = load_image(build_plain(tmp_path, "aarch64", [Source("a.c", main, flags), plain]))
    out = {s.function: s.reason for s in rewrite(image, "xray", Flavour.MEMORY, Policy.USE).map.census.left_out}
    assert "signs its return address" in out["k"]
    assert "extra" not in out


def test_leaf_rows(tmp_path: Path) -> None:
    """An uninstrumented leaf's return address is in x30; an uninstrumented caller's is unknown."""
    rewrite_map, _ = _rewrite(tmp_path, BODY + " ret")
    kinds = {row.where for row in rewrite_map.layout.rows}
    reasons = {row.reason for row in rewrite_map.layout.rows if row.where is Where.UNKNOWN}
    assert Where.LR in kinds
    assert "not instrumented" in reasons


def test_restated_signing_state_is_a_finding_only(tmp_path: Path) -> None:
    """Behind an epilogue in the middle clang restates "signed" with no instruction there; the patcher skips it."""
    body = PUSH + SAVE + " bl g\n cbz x0, 1f\n" + RESTORE + POP + " ret" + NEGATE + "1:" + RESTORE + POP + " ret"
    rewrite_map, out = _rewrite(tmp_path, body)
    assert "odd_one" not in out
    assert len(rewrite_map.census.scan["skipped_silently"]) == 1
    assert rewrite_map.census.scan["only_scan"] == []
