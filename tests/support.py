"""Small images from assembly text, for tests that need one exact instruction in one exact place."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from lab.arch import ARCHES, Arch, arch_by_name
from lab.engine.plan import Execution, Plan
from lab.engine.reference import run_reference
from lab.images.image import Image, load_image
from lab.images.toolchain import find_compiler
from lab.layout import RewriteMap
from lab.machine.machine import Limits
from lab.unwind.api import Unwinder

ARCH_NAMES = tuple(arch.name for arch in ARCHES)

#: The entry every test image shares: FINAL record at the task's pt_regs, call test_main, exit with its result.
START = {
    "aarch64": """
        .globl _start
        .type _start, %function
_start: sub sp, sp, #336
        stp xzr, xzr, [sp, #296]
        mov x9, #1
        str x9, [sp, #312]
        add x29, sp, #296
        bl test_main
        mov x8, #94
        svc #0
        .size _start, . - _start
""",
    "x86_64": """
        .globl _start
        .type _start, @function
_start: sub $192, %rsp
        movq $0, 160(%rsp)
        movq $0, 168(%rsp)
        movq $1, 176(%rsp)
        lea 160(%rsp), %rbp
        call test_main
        mov %eax, %edi
        mov $231, %eax
        syscall
        .size _start, . - _start
""",
}


def assemble(arch_name: str, body: str, *, start: bool = True) -> Image:
    """An image of *body*.  ``FUNC name`` and ``END name`` lines open and close a function with symbol and size."""
    mark = "%" if arch_name == "aarch64" else "@"
    lines = []
    for line in body.splitlines():
        words = line.split()
        if words[:1] == ["FUNC"]:
            lines += [f".globl {words[1]}", f".type {words[1]}, {mark}function", f"{words[1]}:"]
        elif words[:1] == ["END"]:
            lines += [f".size {words[1]}, . - {words[1]}"]
        else:
            lines.append(line)
    text = ".text\n" + (START[arch_name] if start else "") + "\n".join(lines) + "\n"
    return _link(arch_by_name(arch_name), text, ".s")


def compile_c(arch_name: str, source: str, *flags: str) -> Image:
    """An image of C *source* (which defines test_main, returning the exit status) with the lab's kind of flags."""
    return _link(arch_by_name(arch_name), source, ".c", flags)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="unwindlab-test-")


@cache
def _link(arch: Arch, text: str, suffix: str, flags: tuple[str, ...] = ()) -> Image:
    folder = Path(tempfile.mkdtemp(dir=_folder().name))
    compiler = find_compiler()
    source = folder / f"test{suffix}"
    source.write_text(text)
    objects = ["test.o"]
    options = ["-ffreestanding", "-O2", "-fno-omit-frame-pointer", "-fasynchronous-unwind-tables"]
    if arch.name == "x86_64":
        options += ["-mno-red-zone", "-fcf-protection=none"]
    elif suffix == ".s":
        options += ["-march=armv8.5-a"]  # names paciasp and its like; in C it would bring retaa
    else:
        options += ["-mno-outline-atomics"]  # clang's default depends on whether a cross gcc is installed
    compiler.compile(arch, [*options, *flags, "-c", source.name, "-o", "test.o"], folder)
    if suffix == ".c":
        (folder / "start.s").write_text(".text\n" + START[arch.name])
        compiler.compile(arch, [*options, "-c", "start.s", "-o", "start.o"], folder)
        objects.append("start.o")
    compiler.link(["--emit-relocs", "-static", "--build-id=sha1", "-o", "test.elf", *objects], folder)
    return load_image(folder / "test.elf")


def execute(
    image: Image,
    *unwinders: Unwinder,
    rewrite: RewriteMap | None = None,
    modes: tuple[str, ...] = ("boundary", "call"),
    limits: Limits | None = None,
) -> Execution:
    """Every stop of *image* judged in the reference engine."""
    return run_reference(image, rewrite, Plan(unwinders, modes, limits or Limits(200_000, 60), stacks=10_000))


def verdicts(execution: Execution, mode: int, unwinder: int = 0) -> dict[str, int]:
    """Verdict -> stops of one unwinder in one mode; zero counts left out."""
    found: dict[str, int] = {}
    for tally in execution.tallies:
        if tally.mode == mode and tally.unwinder == unwinder:
            name = tally.judgement.verdict.value
            found[name] = found.get(name, 0) + tally.stops
    return found
