"""Every workload builds on both architectures under every design's flags, and computes what its header says."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.arch import ARCHES, X86_64, Arch
from lab.images.build import ARCH_FLAGS, BASE_FLAGS, RUNTIME, build
from lab.images.image import load_image
from lab.images.rawelf import PF_W
from lab.images.toolchain import find_compiler, musl_includes
from lab.images.workloads import CORPUS, SIZES, Workload, all_workloads, read_workload, workload_by_name

SMALL_LIMIT = 25_000
"""Executed instructions: what the plain-Python engine can do in a few seconds, with a design's own code added."""

XRAY = ("-fxray-instrument", "-fxray-instruction-threshold=1")
DESIGNS: dict[str, dict[str, tuple[str, ...]]] = {
    "aarch64": {
        "none": (),
        "pac": ("-mbranch-protection=pac-ret", "-ffixed-x18"),
        "xray": XRAY,
        "xray-x18": (*XRAY, "-ffixed-x18"),
    },
    "x86_64": {"none": (), "xray": XRAY},
}
PAIRS = [(w, a) for w in all_workloads() for a in ARCHES if a.name in w.arches]
SMALL = [
    pytest.param(w, a, flags, id=f"{w.name}-{a.name}-{design}")
    for w, a in PAIRS
    for design, flags in DESIGNS[a.name].items()
]
NATIVE = sys.platform == "linux" and platform.machine() == "x86_64"


@pytest.mark.parametrize(("workload", "arch", "flags"), SMALL)
def test_small_computes_its_result_within_the_limit(
    workload: Workload, arch: Arch, flags: tuple[str, ...], emulate: Callable[..., Any]
) -> None:
    outcome = emulate(build(workload, arch, flags), count=True)
    assert (outcome.output, outcome.status) == (workload.expected_output("small"), 0)
    assert 500 < outcome.instructions <= SMALL_LIMIT


@pytest.mark.parametrize(("workload", "arch"), [pytest.param(w, a, id=f"{w.name}-{a.name}") for w, a in PAIRS])
def test_large_computes_its_result(workload: Workload, arch: Arch, emulate: Callable[..., Any]) -> None:
    outcome = emulate(build(workload, arch, size="large"))
    assert (outcome.output, outcome.status) == (workload.expected_output("large"), 0)


@pytest.mark.skipif(not NATIVE, reason="needs an x86-64 Linux host to run the images on")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "workload", [pytest.param(w, id=w.name) for w in all_workloads() if "x86_64" in w.arches and w.runtime == "plain"]
)
def test_runs_natively(workload: Workload, size: str) -> None:
    path = build(workload, X86_64, size=size)
    done = subprocess.run([path], capture_output=True, timeout=60, check=False, env=dict(os.environ))
    assert (done.stdout.decode(), done.stderr, done.returncode) == (workload.expected_output(size), b"", 0)


@pytest.mark.parametrize(
    ("workload", "arch"), [pytest.param(w, a, id=f"{w.name}-{a.name}") for w, a in PAIRS if w.musl]
)
def test_every_musl_source_of_the_header_is_really_linked(workload: Workload, arch: Arch) -> None:
    """At the usual level, or without optimisation, where some are called that are inlined otherwise."""
    linked = {name for flags in ((), ("-O0",)) for name in load_image(build(workload, arch, flags)).symbols}
    assert {Path(source).name for source in workload.musl} <= linked


def test_at_least_half_of_the_corpus_is_foreign_code() -> None:
    """But for the workloads that are there to show a failure, as their headers say."""
    workloads = [w for w in all_workloads() if not any(claim.kind == "fails" for claim in w.claims)]
    assert len(workloads) >= 22
    assert sum(w.foreign for w in workloads) * 2 >= len(workloads)


@pytest.mark.parametrize("arch", [pytest.param(a, id=a.name) for a in ARCHES])
def test_a_failed_check_says_what_and_exits_with_one(arch: Arch, tmp_path: Path, emulate: Callable[..., Any]) -> None:
    path = tmp_path / "wrong.c"
    path.write_text(
        "/*\n * title: Wrong\n * rows: 1\n * expect: small 0x0000000000000000 large 0x0000000000000000\n */\n"
        '#include "rt.h"\nu64 lab_main(u64 large) { lab_check(large != large, "the impossible"); return 0; }\n'
    )
    outcome = emulate(build(read_workload(path), arch))
    assert (outcome.output, outcome.status) == ("failed: the impossible\n", 1)


@pytest.mark.parametrize(("workload", "arch"), [pytest.param(w, a, id=f"{w.name}-{a.name}") for w, a in PAIRS])
def test_the_size_changes_no_code(workload: Workload, arch: Arch) -> None:
    small, large = (load_image(build(workload, arch, size=size)) for size in SIZES)
    assert small.section(".text") == large.section(".text")
    assert small.functions == large.functions
    assert small.symbols["lab_large"] == large.symbols["lab_large"]
    assert small.build_id != large.build_id


@pytest.mark.parametrize(("workload", "arch"), [pytest.param(w, a, id=f"{w.name}-{a.name}") for w, a in PAIRS])
def test_every_image_has_what_rewriters_need(workload: Workload, arch: Arch) -> None:
    image = load_image(build(workload, arch))
    assert image.arch is arch
    assert not image.position_independent
    assert image.build_id, "a PT_NOTE to reuse"
    assert any(s.flags & PF_W and s.data for s in image.segments), "a writable segment with bytes in the file"
    start = image.function_at(image.entry)
    assert start is not None
    assert start.name == "_start"
    cell = image.symbols["__unwindlab_ssp"]
    assert image.read(cell, 8) == bytes(8)
    assert any(s.address <= cell < s.end and s.flags & PF_W for s in image.segments)


@pytest.mark.parametrize("arch", [pytest.param(a, id=a.name) for a in ARCHES])
@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.stem) for p in sorted([*CORPUS.glob("*.c"), *RUNTIME.glob("*.c")])]
)
def test_our_own_c_compiles_without_warnings(path: Path, arch: Arch, tmp_path: Path) -> None:
    if path.parent == CORPUS and arch.name not in workload_by_name(path.stem).arches:
        pytest.skip("not for this architecture")
    if path.parent == CORPUS and workload_by_name(path.stem).musl_included:
        pytest.skip("its text is mostly musl's, which has warnings of its own")
    floating = path.name == "fp.c" or (path.parent == CORPUS and workload_by_name(path.stem).floating)
    compiler = find_compiler()
    numbers = compiler.narrow_long_double[arch.name] if floating else ("-mgeneral-regs-only",)
    flags = [flag for flag in BASE_FLAGS if flag != "-w"] + ["-Wall", "-Wextra", "-Werror", "-DLAB_LARGE=0"]
    # musl's headers are system headers here; the precedence they and we rely on is C's.
    places = ["-I", str(RUNTIME), "-I", str(RUNTIME / "include")]
    places += [word for folder in musl_includes(arch) for word in ("-isystem", str(folder))]
    quiet = ["-Wno-parentheses", "-Wno-ignored-attributes", "-Wno-missing-field-initializers"]
    output = tmp_path / "out.o"
    compiler.compile(
        arch,
        [
            *flags,
            *compiler.scalar,
            *ARCH_FLAGS[arch.name],
            *numbers,
            *quiet,
            *places,
            "-c",
            path.name,
            "-o",
            str(output),
        ],
        path.parent,
    )
    assert output.stat().st_size > 0


WALK = """/*
 * title: The outermost frame record
 * rows: 28
 * expect: small 0x0000000000000000 large 0x0000000000000000
 */
#include "rt.h"
u64 lab_main(u64 large)
{
	u64 *record = __builtin_frame_address(0);

	while (record[0] || record[1])
		record = (u64 *)record[0];
	lab_check(record[2] == 1, "its type is FINAL");
	return (u64)record + large;
}
"""


@pytest.mark.parametrize("arch", [pytest.param(a, id=a.name) for a in ARCHES])
def test_frame_records_end_in_the_final_record_at_its_place(
    arch: Arch, tmp_path: Path, emulate: Callable[..., Any], stack_top: int
) -> None:
    (tmp_path / "walk.c").write_text(WALK)
    outcome = emulate(build(read_workload(tmp_path / "walk.c"), arch))
    assert (outcome.output, outcome.status) == (f"result {stack_top - arch.final_record:#018x}\n", 0)
