"""Headers are read strictly; every mistake names file and line."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.arch import ARCHES
from lab.errors import InputError
from lab.images.claims import Claim
from lab.images.workloads import CORPUS, ROWS, all_workloads, read_workload, workload_by_name, workloads_in

EXPECT = "small 0x00000000000000ff large 0x0123456789abcdef"
GOOD = {"title": "A title", "rows": "12 1", "expect": EXPECT}


def header(**lines: str) -> str:
    return (
        "/*\n"
        + "".join(f" * {key.replace('_', '-')}: {value}\n" for key, value in lines.items())
        + " *\n * Prose.\n */\n"
    )


def written(folder: Path, text: str, name: str = "sample.c") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def complaint(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_workload(path)
    assert error.value.exit_code == 2
    text = str(error.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text.removeprefix(str(path))


def test_a_full_header(tmp_path: Path) -> None:
    text = header(
        **GOOD,
        flags="-O1 -DX=1",
        arches="aarch64",
        compilers="clang gcc/x86_64",
        float="yes",
        musl="regex/regcomp.c\n *       regex/regexec.c",
        musl_include="crypt/crypt_md5.c",
    )
    workload = read_workload(written(tmp_path, text))
    assert (workload.name, workload.title, workload.rows) == ("sample", "A title", (1, 12))
    assert (workload.flags, workload.arches, workload.floating) == (("-O1", "-DX=1"), ("aarch64",), True)
    built = {(c, a.name) for c in ("clang", "gcc") for a in ARCHES if workload.built_by(c, a.name)}
    assert built == {("clang", "aarch64"), ("clang", "x86_64"), ("gcc", "x86_64")}
    assert workload.musl == ("regex/regcomp.c", "regex/regexec.c")
    assert workload.musl_included == ("crypt/crypt_md5.c",)
    assert dict(workload.expect) == {"small": 0xFF, "large": 0x0123456789ABCDEF}
    assert workload.expected_output("small") == "result 0x00000000000000ff\n"
    assert workload.foreign


def test_a_short_header_has_defaults(tmp_path: Path) -> None:
    workload = read_workload(written(tmp_path, header(**GOOD)))
    assert workload.arches == tuple(a.name for a in ARCHES)
    assert (workload.flags, workload.musl, workload.floating, workload.foreign) == ((), (), False, False)
    assert (workload.runtime, workload.claims) == ("plain", ())


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("int x;\n", 1, "header comment"),
        ("", 1, "header comment"),
        ("/* title: x */\n", 1, "header comment"),
        ("/*\n * title: A\n", 2, "does not end"),
        ("/*\n" + " * title: A\n" * 2, 3, "already on line 2"),
        ("/*\ntitle: A\n */\n", 2, "not a ' * key: value' line"),
        ("/*\n * Title A\n */\n", 2, "not a ' * key: value' line"),
        (header(titel="A"), 2, "did you mean 'title'"),
        (header(zzz="A"), 2, "known: title"),
        ("/*\n * title:\n */\n", 2, "has no value"),
        (header(title="A", rows="1"), 1, "no 'expect' line"),
        (header(title="A" * 61, rows="1", expect=EXPECT), 2, "61 characters"),
        (header(**GOOD | {"rows": "12 50"}), 3, "from 1 to 49"),
        (header(**GOOD | {"rows": "12 x"}), 3, "from 1 to 49"),
        (header(**GOOD | {"rows": "12 12"}), 3, "twice"),
        (header(**GOOD | {"expect": "small 0x1 large 0x2"}), 4, "16 lower-case hexadecimal digits"),
        (header(**GOOD, flags="O2"), 5, "begin with '-'"),
        (header(**GOOD, arches="riscv64"), 5, "are of: aarch64 x86_64"),
        (header(**GOOD, compilers="clang tcc"), 5, "are of: clang gcc"),
        (header(**GOOD, float="maybe"), 5, "yes or no"),
        (header(**GOOD, **{"changes-code": "maybe"}), 5, "yes or no"),
        (header(**GOOD, runtime="unikernel"), 5, "'runtime' is one of: plain kernel"),
        (header(**GOOD, fails="fp"), 5, "'fails' entry 'fp': write UNWINDER MODE [at FUNCTION]"),
        (header(**GOOD, fails="fp call;"), 5, "'fails' entry '': write UNW"),
        (header(**GOOD, fails="fp call at"), 5, "'fp call at': write"),
        (header(**GOOD, fails="FP call"), 5, "'FP' is not an unwinder's name"),
        (header(**GOOD, refuses="fp calls"), 5, "unknown stop mode 'calls'; known: boundary, call"),
        (header(**GOOD, survives="fp call in main"), 5, "'in' where one of at, on, with may stand"),
        (header(**GOOD, survives="fp call at a at b"), 5, "'at' twice"),
        (header(**GOOD, survives="fp call at 9x"), 5, "'9x' is no name"),
        (header(**GOOD, arches="aarch64", fails="fp call on x86_64"), 6, "not for 'x86_64'; 'on' is one of: aarch64"),
        (header(**GOOD, fails="fp call; fp call"), 5, "'fails: fp call' is said twice"),
        (header(**GOOD, musl="/etc/passwd.c"), 5, "below musl's src"),
        (header(**GOOD, musl="../../secret.c"), 5, "below musl's src"),
        (header(**GOOD, musl="regex/tre.h"), 5, "below musl's src"),
    ],
)
def test_a_mistake_names_its_line(tmp_path: Path, text: str, line: int, reason: str) -> None:
    found = complaint(written(tmp_path, text))
    assert found.startswith(f":{line}: ")
    assert reason in found


def test_claims_and_the_runtime(tmp_path: Path) -> None:
    text = header(
        **GOOD,
        runtime="kernel",
        survives="dwarf inject",
        fails="fp+irq-flag inject at f.part.0 on aarch64 with base-O0;\n *        fp call with pac",
    )
    workload = read_workload(written(tmp_path, text))
    both = tuple(a.name for a in ARCHES)
    assert workload.runtime == "kernel"
    assert workload.claims == (
        Claim("fails", "fp+irq-flag", "inject", "f.part.0", ("aarch64",), "base-O0"),
        Claim("fails", "fp", "call", "", both, "pac"),
        Claim("survives", "dwarf", "inject", "", both, "base"),
    )
    assert [claim.text(both) for claim in workload.claims] == [
        "fails: fp+irq-flag inject at f.part.0 on aarch64 with base-O0",
        "fails: fp call with pac",
        "survives: dwarf inject",
    ]


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.c").write_bytes(b"/*\n \xff\xfe\n")
    assert "not UTF-8" in complaint(tmp_path / "bytes.c")
    assert "cannot be read" in complaint(tmp_path / "absent.c")
    assert "file name" in complaint(written(tmp_path, header(**GOOD), "Bad_Name.c"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.text(alphabet=string.printable, max_size=200))
def test_no_header_text_gives_a_traceback(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, "/*\n * title: A\n" + text)
    try:
        workload = read_workload(path)
    except InputError as error:
        assert str(error).startswith(str(path))
    else:
        assert set(workload.rows) <= set(ROWS)


def test_one_added_file_is_one_added_workload(tmp_path: Path) -> None:
    written(tmp_path, header(**GOOD), "one.c")
    written(tmp_path, header(**GOOD), "two.S")
    written(tmp_path, "not a workload", "notes.txt")
    assert [w.name for w in workloads_in(tmp_path)] == ["one", "two"]
    written(tmp_path, header(**GOOD), "one.S")
    with pytest.raises(InputError, match="'one' already exists"):
        workloads_in(tmp_path)


def test_the_corpus_is_found_by_name_and_near_misses_are_suggested() -> None:
    assert workload_by_name("regex").path == CORPUS / "regex.c"
    with pytest.raises(InputError, match="unknown workload 'regx'; did you mean 'regex'") as error:
        workload_by_name("regx")
    assert error.value.exit_code == 2
    with pytest.raises(InputError, match=r"known: .*regex"):
        workload_by_name("0" * 30)


def test_the_corpus_names_are_sorted_and_their_sizes_differ() -> None:
    names = [w.name for w in all_workloads()]
    assert names == sorted(names)
    assert len(names) == len({w.path for w in all_workloads()})
    assert all(w.expect["small"] != w.expect["large"] for w in all_workloads())
