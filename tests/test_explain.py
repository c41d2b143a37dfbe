"""explain: one stop, whole, or one line that says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import InputError
from lab.explain import Explanation, explain, parse_pc
from lab.layout import Flavour, Policy
from lab.machine.machine import Limits
from lab.rewriting import rewrite_file
from lab.unwind.api import Reason
from lab.unwind.reasons import SENTENCES, explained
from tests.engine.kernel import kernel_image
from tests.support import ARCH_NAMES, assemble, compile_c

PROGRAM = """
__attribute__((noinline)) long leaf(long x) { return x * 3 + 1; }
__attribute__((noinline)) long twice(long x) { return leaf(x) + leaf(x + 1); }
int test_main(void) { return twice(1) != 11; }
"""


def said(found: Explanation, name: str) -> tuple[str, list[str]]:
    (one,) = [s for s in found.said if s.unwinder == name]
    return one.verdict, one.reported


def test_a_leaf_on_arm64_shows_what_the_plain_walk_loses() -> None:
    path = compile_c("aarch64", PROGRAM).path
    found = explain(path, "leaf", [], "boundary", 1)
    assert found.location == "leaf+0x0"
    assert [place.split("+")[0] for place in found.truth] == ["twice", "test_main", "_start"]
    verdict, reported = said(found, "fp")
    assert verdict == "missing"
    assert reported == found.truth[1:]
    (fp,) = [s for s in found.said if s.unwinder == "fp"]
    assert found.truth[0] in fp.why
    assert fp.reads, "every slot it read is shown"
    assert said(found, "oracle") == ("exact", found.truth)
    assert {"scs", "scs-lr"} <= dict(found.unsupported).keys()
    text = found.to_text()
    assert "leaf+0x0" in text and "missing" in text and "x29" in text
    assert text.isascii()


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_the_second_hit_is_another_stop_with_another_stack(arch: str) -> None:
    path = compile_c(arch, PROGRAM).path
    first, second = (explain(path, "leaf", ["oracle"], "boundary", hit) for hit in (1, 2))
    assert first.truth[0] != second.truth[0]
    assert first.truth[1:] == second.truth[1:]


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_call_stop_is_named_by_its_return_address(arch: str) -> None:
    path = compile_c(arch, PROGRAM).path
    ra = explain(path, "leaf", ["oracle"], "boundary", 1).truth[0]
    found = explain(path, ra, ["fp", "oracle"], "call", 1)
    assert said(found, "fp")[0] == said(found, "oracle")[0] == "exact"
    assert [place.split("+")[0] for place in found.truth] == ["test_main", "_start"]


def test_a_rewritten_image_is_explained_with_its_layout(tmp_path: Path) -> None:
    source = compile_c("aarch64", PROGRAM, "-mbranch-protection=pac-ret", "-ffixed-x18").path
    out = tmp_path / "out.elf"
    rewrite_file(source, out, "pac", Flavour.REGISTER, Policy.USE)
    at_push = explain(out, "twice", [], "boundary", 1)
    assert at_push.region == "inserted"
    assert "before this instruction: lr" in at_push.layout
    assert (said(at_push, "scs")[0], said(at_push, "scs-lr")[0]) == ("missing", "exact")
    after = explain(out, "twice+4", [], "boundary", 1)
    assert "before this instruction: shadow" in after.layout
    assert (said(after, "scs")[0], said(after, "scs-lr")[0]) == ("exact", "exact")


@pytest.mark.parametrize(
    ("pc", "words"),
    [
        ("nonsense", "neither an address nor a function"),
        ("leaf+zz", "neither an address nor a function"),
        ("0x10", "outside the image"),
        ("leaf+0x7fffffff", "outside the image"),
        ("leaf+2", "never reached"),
        ("", "neither an address nor a function"),
    ],
)
def test_a_place_that_is_not_there_is_one_line(pc: str, words: str) -> None:
    path = compile_c("x86_64", PROGRAM).path
    with pytest.raises(InputError, match=words) as caught:
        explain(path, pc, [], "boundary", 1)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_hit_beyond_the_last_says_how_many_there_were() -> None:
    path = compile_c("x86_64", PROGRAM).path
    with pytest.raises(InputError, match="reached 2 times, not 3"):
        explain(path, "leaf", [], "boundary", 3)
    with pytest.raises(InputError, match="counted from 1"):
        explain(path, "leaf", [], "boundary", 0)


def test_an_image_that_never_gets_there_stops_at_its_budget() -> None:
    path = assemble("x86_64", "FUNC test_main\n jmp test_main\nEND test_main\nFUNC other\n ret\nEND other\n").path
    with pytest.raises(InputError, match="never reached"):
        explain(path, "other", [], "boundary", 1, limits=Limits(1000, 10))


def test_addresses_are_read_as_hexadecimal_names_or_both() -> None:
    image = compile_c("aarch64", PROGRAM)
    leaf = image.symbols["leaf"]
    assert {parse_pc(image, text) for text in ("leaf", f"{leaf:#x}", f"{leaf:x}", "leaf+0", "leaf+0x0")} == {leaf}


@pytest.mark.parametrize(
    ("text", "said_of_it"),
    [
        ("garbage", "neither an address nor a function"),
        ("leaf+", "neither an address nor a function"),
        ("leaf+zz", "neither an address nor a function"),
        ("leaf+-4", "neither an address nor a function"),
        ("leaf+4+4", "neither an address nor a function"),
        ("1_0", "neither an address nor a function"),
        ("", "neither an address nor a function"),
        ("le\naf", r"'le\\naf' is neither an address nor a function"),
        ("0x10", r"'0x10' is 0x10, outside the image \(its code is 0x[0-9a-f]+\.\.0x[0-9a-f]+\)"),
        ("leaf+0xffffffffffffffff", "outside the image"),
    ],
)
def test_a_pc_that_is_none_is_one_line(text: str, said_of_it: str) -> None:
    image = compile_c("aarch64", PROGRAM)
    with pytest.raises(InputError, match=said_of_it) as caught:
        parse_pc(image, text)
    assert len(str(caught.value).splitlines()) == 1


def test_a_rewritten_image_without_its_map_is_not_taken_for_a_plain_one(tmp_path: Path) -> None:
    out = tmp_path / "out.elf"
    source = compile_c("aarch64", PROGRAM, "-mbranch-protection=pac-ret").path
    rewrite_file(source, out, "pac", Flavour.MEMORY, Policy.USE)
    (tmp_path / "out.elf.rewrite.json").unlink()
    with pytest.raises(InputError, match=r"out\.elf: rewritten, but its map out\.elf\.rewrite\.json is not beside it"):
        explain(out, "leaf", [], "boundary", 1)


def test_an_entry_point_outside_the_code_is_one_line(tmp_path: Path) -> None:
    data = bytearray(compile_c("x86_64", PROGRAM).path.read_bytes())
    data[24:32] = (0x10).to_bytes(8, "little")
    broken = tmp_path / "broken.elf"
    broken.write_bytes(data)
    with pytest.raises(InputError, match="entry point 0x10 lies in no executable segment"):
        explain(broken, "leaf", [], "boundary", 1)


def test_every_refusal_has_its_sentence() -> None:
    assert set(SENTENCES) == set(Reason)
    assert explained("no_row") == "no_row: the unwind table has no row for this address"
    assert explained("something else") == "something else"


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_an_inject_stop_begins_in_the_handler_and_names_what_lies_on_both_stacks(arch: str) -> None:
    """The walk leaves the interrupt stack; a row that was looked up and not used is not said to be used."""
    names = ["fp-reliable", "fp", "sframe-v5"] if arch == "aarch64" else ["fp-x86-reliable", "fp-x86"]
    found = explain(kernel_image(arch, "deep").path, "lab_mix", names, "inject", 1, limits=Limits(400_000, 120))
    text = found.to_text()
    assert found.begins.startswith("stack_trace_save+")
    assert f"true      {found.begins} <- " in text
    records = [frame for said in found.said[:2] for frame in said.frames]
    slots = [slot.what for frame in records for slot in frame.reads]
    assert any(what.startswith("pt_regs, record ") and what.endswith(": pc") for what in slots)
    assert not any(what.startswith("memory") for what in slots)
    kept = "x30), which was not read" if arch == "aarch64" else "(a word), which was not read"
    plain = found.said[1]
    assert plain.verdict == "missing"
    assert plain.why.endswith(kept)
    if arch == "aarch64":
        by_record = [
            frame for frame in found.said[2].frames if any("frame record" in slot.what for slot in frame.reads)
        ]
        assert by_record
        assert not any(frame.used for frame in by_record if "FINAL" not in frame.reads[0].what)
