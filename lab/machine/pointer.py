"""Where unicorn keeps the guest's general registers: their host address, found without a hard-coded offset.

A read through that address costs about a nanosecond, a read through unicorn's API some seventy.  Nothing in
the API gives the address, so it is found by experiment.  Random sentinels go into all registers through
``uc_reg_write``; everything ``uc_struct`` points to is searched for them, through /proc/self/mem, so that a wrong
guess is an error to catch and not a crash; and of the places found exactly one must follow further writes
through the API and be followed by it.  The registers have their old values afterwards.

The order of the block is QEMU's (target/arm/cpu.h ``CPUARMState.xregs``, target/i386/cpu.h
``CPUX86State.regs`` in the order of the hardware's register numbers).  Program counter and flags are not in it:
QEMU keeps flags in pieces, and a program counter that is written takes effect only through the API.

``UNWINDLAB_REGISTERS=batch`` in the environment makes the search find nothing, so that registers are read
through ``uc_reg_read_batch`` instead: slower, for tests and to compare.  No other value has a meaning.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import secrets
import struct
from pathlib import Path
from typing import Any

from lab.arch import Arch
from lab.errors import InputError
from lab.machine.cpu import register_ids

VARIABLE = "UNWINDLAB_REGISTERS"

_ORDER = {
    "aarch64": (*(f"x{i}" for i in range(31)), "sp"),
    "x86_64": ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{i}" for i in range(8, 16))),
}
_STRUCT_BYTES = 0x1000  # uc_struct is searched this far for pointers; its pointer to the CPU comes early
_REACH = 0x20000  # how far behind such a pointer the registers may lie: ARMCPU has them some 0x9000 bytes in
_ATTEMPTS = 3
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw")

_Ranges = list[tuple[int, int]]


def block_order(arch: Arch) -> tuple[str, ...]:
    """Canonical names in the order of the block: 64-bit word *i* is register ``block_order(arch)[i]``."""
    return _ORDER[arch.name]


def find_register_block(cpu: Any, arch: Arch) -> int | None:
    """The host address of the registers of *cpu* (a unicorn engine that is not running), or None where the search
    fails or is switched off (see the module).  Valid as long as *cpu* lives.
    """
    wanted = os.environ.get(VARIABLE, "")
    if wanted == "batch":
        return None
    if wanted:
        raise InputError(f"{VARIABLE}={wanted} in the environment: 'batch' is the only value, or leave it unset")
    for _ in range(_ATTEMPTS):
        found = _search(cpu, [register_ids(arch)[name] for name in block_order(arch)])
        if found is not None:
            return found
        gc.collect()  # machines are cycles: those nobody needs any more crowd the address space until collected
    return None


def _search(cpu: Any, ids: list[int]) -> int | None:
    old = [cpu.reg_read(number) for number in ids]
    try:
        memory = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        places = _places(memory, cpu._uch.value, _plant(cpu, ids))
        # A copy (the buffer of a search, say) has the sentinels too, but does not follow the registers.
        following = [place for place in places if _follows(memory, place, _plant(cpu, ids))]
        return following[0] if len(following) == 1 and _leads(cpu, ids, following[0]) else None
    finally:
        os.close(memory)
        for number, value in zip(ids, old, strict=True):
            cpu.reg_write(number, value)


def _sentinels(count: int) -> list[int]:
    return [secrets.randbits(64) for _ in range(count)]


def _plant(cpu: Any, ids: list[int]) -> bytes:
    """Write new sentinels through the API; their bytes as they must lie in the block."""
    values = _sentinels(len(ids))
    for number, value in zip(ids, values, strict=True):
        cpu.reg_write(number, value)
    return struct.pack(f"<{len(values)}Q", *values)


def _places(memory: int, handle: int, pattern: bytes) -> list[int]:
    """Every address near what uc_struct points to that holds *pattern*."""
    mapped = _writable()
    pointers = _read(memory, handle, min(handle + _STRUCT_BYTES, _end(mapped, handle)))
    words = struct.unpack(f"<{len(pointers) // 8}Q", pointers[: len(pointers) // 8 * 8])
    targets = [(word, min(word + _REACH, _end(mapped, word))) for word in words]
    found = []
    for start, end in _merged(targets):
        data = _read(memory, start, end)
        at = data.find(pattern)
        while at >= 0:
            found.append(start + at)
            at = data.find(pattern, at + 1)
    return found


def _follows(memory: int, place: int, pattern: bytes) -> bool:
    return _read(memory, place, place + len(pattern)) == pattern


def _leads(cpu: Any, ids: list[int], place: int) -> bool:
    """Whether the API reads back what is stored at *place*."""
    values = _sentinels(len(ids))
    data = struct.pack(f"<{len(values)}Q", *values)
    ctypes.memmove(place, data, len(data))
    return [cpu.reg_read(number) for number in ids] == values


def _writable() -> _Ranges:
    """The readable and writable mappings of this process.  Neighbours are merged: one allocation can lie across
    two, after many machines it often does."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    hits = (_MAPPING.match(line) for line in lines)
    return _merged([(int(hit[1], 16), int(hit[2], 16)) for hit in hits if hit])


def _merged(ranges: _Ranges) -> _Ranges:
    """The union as sorted ranges that neither touch nor overlap; empty ones are dropped."""
    union: _Ranges = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], end))
        else:
            union.append((start, end))
    return union


def _end(mapped: _Ranges, address: int) -> int:
    """The end of the mapping that holds *address*; 0 where none does."""
    return next((end for start, end in mapped if start <= address < end), 0)


def _read(memory: int, start: int, end: int) -> bytes:
    """The process's bytes [start, end) as far as they can be read."""
    try:
        return os.pread(memory, end - start, start) if start < end else b""
    except OSError:
        return b""
