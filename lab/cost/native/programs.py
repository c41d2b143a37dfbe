"""What is timed: bench programs by variant, run for as many rounds as fill a sample."""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from lab import registry
from lab.arch import Arch
from lab.bench.programs import PROGRAMS, ROUNDS, Program
from lab.cost.profile import profile
from lab.errors import EngineError, InputError, LabError
from lab.images.build import build
from lab.images.cache import cache_folder
from lab.images.image import Image, load_image
from lab.images.rawelf import PT_LOAD, program_headers, read_elf_bytes
from lab.machine.machine import Limits
from lab.rewriting import with_shadow

BODIES = (
    Program("empty", "calls of an empty function", "body.c", 28, ("-DBENCH_BODY=0",)),
    Program("small", "calls of a small function", "body.c", 28, ("-DBENCH_BODY=1",)),
    Program("large", "calls of a large function", "body.c", 28, ("-DBENCH_BODY=2",)),
)
TIMED = (*BODIES, *(program for program in PROGRAMS if program.name in {"calls", "recursion", "callbacks"}))
"""The programs, in the order in which they are shown."""

VARIANTS = {
    "x86_64": (
        "xray", "xray-parallel-use", "xray-memory-use", "detour-parallel-use", "detour-memory-use",
        "insertion-parallel-use", "insertion-memory-use", "insertion-memory-use-nonleaf", "insertion-memory-check",
    ),
    "aarch64": (
        "pac", "pac-register-use", "xray-register-use", "detour-parallel-use", "detour-memory-use",
        "detour-register-use", "insertion-parallel-use", "insertion-memory-use", "insertion-register-use-nonleaf",
        "scs-clang",
    ),
}  # fmt: skip
"""Proposals timed where none are named: modes and flavours that can be set side by side."""


@dataclass(frozen=True)
class Built:
    """One program under one proposal.  ``why_not``: why it cannot run outside the lab ("" = it can)."""

    program: str
    proposal: str
    image: Image | None
    why_not: str = ""


def built(program: Program, arch: Arch, proposal: str) -> Built:
    """The image, rewritten and verified where the proposal says so."""
    asked = registry.proposal(proposal)
    if reason := asked.unsupported(arch.name):
        return Built(program.name, proposal, None, reason)
    image = load_image(build(program.workload(), arch, asked.compiler_flags(arch.name)))
    try:
        done, rewrite = with_shadow(image, asked, Limits(), cache_folder())
    except LabError as error:
        return Built(program.name, proposal, None, str(error))
    if rewrite is not None and rewrite.layout.provider != "image":
        return Built(program.name, proposal, None, "the environment has to provide its shadow stack")
    return Built(program.name, proposal, done)


def with_rounds(image: Image, rounds: int) -> Path:
    """A copy of the bench program *image*, in the cache, that does *rounds* rounds.  InputError if it is none."""
    address = image.symbols.get(ROUNDS)
    if address is None:
        raise InputError(f"{image.path}: no symbol '{ROUNDS}': not a bench program")
    raw = bytearray(read_elf_bytes(image.path))
    for kind, _, offset, start, size, _ in program_headers(image.path, bytes(raw)):
        if kind == PT_LOAD and start <= address < start + size:
            struct.pack_into("<Q", raw, offset + address - start, rounds)
    folder = cache_folder() / "timed"
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{hashlib.sha256(raw).hexdigest()[:32]}.elf"
    if not out.exists():
        temporary = out.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(raw)
        temporary.chmod(0o755)
        temporary.replace(out)
    return out


def calls_per_round(image: Image) -> int:
    """Executed calls of one round, counted in two short executions.  EngineError if the program has none."""
    one, two = (profile(load_image(with_rounds(image, rounds)), None, Limits()).calls for rounds in (1, 2))
    if two <= one:
        raise EngineError(f"{image.path}: its rounds make no calls")
    return two - one
