"""DWARF against a second implementation: gdb's backtrace at sampled stops, natively or under qemu's stub."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.engine.plan import make_reader
from lab.images.image import Image
from lab.images.toolchain import compiler_names
from lab.images.workloads import all_workloads
from lab.job import Job, prepare
from lab.machine.machine import Limits, Machine
from lab.metadata.rules import Format
from lab.registry import all_proposals, unwinder
from lab.unwind.api import BOUNDARY, Regs
from lab.unwind.host import walk
from tests.support import ARCH_NAMES

WORKLOADS = ("shrinkwrap", "alloca", "tailcall", "frameless")
SAMPLES = 30
FRAME = re.compile(r"^#\d+\s+(?:(0x[0-9a-f]+) in )?", re.MULTILINE)
TOOLS = {"aarch64": ("gdb-multiarch", "qemu-aarch64"), "x86_64": ("gdb",)}


def image_of(arch: str, name: str) -> Image:
    job = Job(arch, compiler_names()[0], name, "base", (), (), "small", Limits(), 0)
    base = next(p for p in all_proposals() if p.name == "base")
    return prepare(job, base, next(w for w in all_workloads() if w.name == name)).image


def ours(image: Image) -> dict[int, tuple[int, ...]]:
    """pc -> the return addresses reported at its first execution, in the order in which they are first executed."""
    machine = Machine(image)
    reader = make_reader(machine, (Format.DWARF,))
    arch, design, found = image.arch, unwinder("dwarf"), {}

    def stop(pc: int) -> None:
        if pc in found:
            return
        values = machine.registers()
        regs = Regs(pc, values[arch.sp], values[arch.fp], values[arch.lr] if arch.lr else 0, 0)
        found[pc] = walk(design, BOUNDARY, pc, regs, reader).addresses

    machine.execute(stop)
    return found


@contextmanager
def started(arch: str, image: Image, folder: Path) -> Iterator[str]:
    """What gdb is told to get at the program."""
    if arch == "x86_64":
        yield "starti"
        return
    stub = folder / "stub"
    process = subprocess.Popen(["qemu-aarch64", "-g", str(stub), str(image.path)], stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            if stub.exists():
                break
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            break
        yield f"target remote {stub}"
    finally:
        process.kill()
        process.wait()


def theirs(arch: str, image: Image, pcs: list[int], folder: Path) -> dict[int, tuple[int, ...]]:
    """What gdb reports at the first execution of each of *pcs*."""
    script = ["set confirm off", "set pagination off", "set backtrace past-main on", "set backtrace past-entry on"]
    with started(arch, image, folder) as begin:
        script += ["set debuginfod enabled off", begin]
        for pc in pcs:
            script += [f"tbreak *{pc:#x}", "continue", 'printf "at %#lx\\n", $pc', "backtrace"]
        script += ["kill", "quit"]
        commands = folder / "commands"
        commands.write_text("\n".join(script) + "\n")
        arguments = [TOOLS[arch][0], "-nx", "-batch", "-x", str(commands), str(image.path)]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    found = {}
    for part in re.split(r"^at ", done.stdout, flags=re.MULTILINE)[1:]:
        head, _, rest = part.partition("\n")
        frames = [int(address, 16) for address in FRAME.findall(rest)[1:] if address]
        found[int(head, 16)] = tuple(frames)
    if not found and arch == "x86_64" and "ptrace" in done.stderr + done.stdout:
        pytest.skip("gdb may not trace here")
    return found


@pytest.mark.parametrize("name", WORKLOADS)
@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_gdb_says_the_same(arch: str, name: str, tmp_path: Path) -> None:
    missing = [tool for tool in TOOLS[arch] if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    image = image_of(arch, name)
    said = ours(image)
    deep = [pc for pc, trace in said.items() if len(trace) > 1]
    pcs = deep[:: max(1, len(deep) // SAMPLES)][:SAMPLES]
    second = theirs(arch, image, pcs, tmp_path)
    assert len(pcs) == SAMPLES
    assert {pc: second.get(pc) for pc in pcs} == {pc: said[pc] for pc in pcs}
