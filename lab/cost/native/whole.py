"""Whole programs that are timed: workloads at their large size, and Debian's static busybox where it is at hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lab import registry
from lab.arch import Arch
from lab.cost.native.timing import Command
from lab.errors import LabError
from lab.images.cache import cache_folder
from lab.images.real import real_program
from lab.images.workloads import workload_by_name
from lab.job import Job, prepare
from lab.machine.machine import Limits, Process
from lab.rewriting import load_map, rewrite_file

WORKLOADS = ("tree", "regex", "printf", "strtod", "sha256", "sha512")
"""musl's own code, and programs that spend their time in loops."""
BUSYBOX = {"x86_64": "busybox-amd64", "aarch64": "busybox-arm64"}
AWK = 'BEGIN { for (i = 0; i < %d; i++) s += length(sprintf("%%d", i * 7)); print s }'
SHORT, LONG = 20, 20000
"""Rounds of the loop: of the proof by execution in the emulator, and of a sample."""

Maker = Callable[[str], tuple[Command, str]]
"""proposal -> (command, "") or ((), why there is none)."""


def whole_programs(arch: Arch) -> dict[str, tuple[str, Maker]]:
    """Name -> (what it is, how to make it under a proposal)."""
    found: dict[str, tuple[str, Maker]] = {
        name: (workload_by_name(name).title, partial(_workload, arch, name)) for name in WORKLOADS
    }
    path = real_program(BUSYBOX[arch.name])
    if path is not None:
        found["busybox-awk"] = ("a loop in Debian's static busybox", partial(_busybox, path))
    return found


def _workload(arch: Arch, name: str, proposal: str) -> tuple[Command, str]:
    asked = registry.proposal(proposal)
    if reason := asked.unsupported(arch.name):
        return (), reason
    job = Job(arch.name, "clang", name, proposal, (), ("call",), "large", Limits(1 << 40, 600.0), 0)
    try:
        subject = prepare(job, asked, workload_by_name(name))
    except LabError as error:
        return (), str(error)
    if subject.rewrite is not None and subject.rewrite.layout.provider != "image":
        return (), "the environment has to provide its shadow stack"
    return (str(subject.image.path),), ""


def _busybox(path: Path, proposal: str) -> tuple[Command, str]:
    asked = registry.proposal(proposal)
    arguments = ("busybox", "awk", AWK % LONG)
    if asked.rewrite is None:
        same = not asked.flags and not asked.compiler
        return ((str(path), *arguments[1:]), "") if same else ((), "compiled by Debian, without these flags")
    what = f"{path.stat().st_size} {hashlib.sha256(path.read_bytes()).hexdigest()} {asked.rewrite}"
    out = cache_folder() / "timed" / f"busybox-{hashlib.sha256(what.encode()).hexdigest()[:24]}.elf"
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        if not out.exists():
            request = asked.rewrite
            process = Process(("busybox", "awk", AWK % SHORT))
            limits = Limits(200_000_000, 300.0)
            rewrite_file(
                path, out, request.mode, request.flavour, request.policy, leaves=request.leaves, limits=limits,
                process=process,
            )  # fmt: skip
        if load_map(out).layout.provider != "image":
            return (), "the environment has to provide its shadow stack"
    except LabError as error:
        return (), str(error).split("; ")[0]
    return (str(out), *arguments[1:]), ""
