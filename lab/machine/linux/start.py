"""How a program finds its stack: argc, argv, envp and the auxiliary vector, as Linux lays them out.

Sources: Linux v6.1 fs/binfmt_elf.c (create_elf_tables), include/uapi/linux/auxvec.h; System V x86-64 psABI 3.4.1.
"""

from __future__ import annotations

import struct

from lab.errors import InputError
from lab.images.image import Image
from lab.machine.linux.pages import ARENA, ARENA_NAME, ARENA_SIZE
from lab.machine.linux.process import Process
from lab.machine.memory import PAGE, GuestMemory

STACK_SIZE = 8 << 20
RANDOM = bytes(range(0x40, 0x50))
"""AT_RANDOM's bytes: a stack protector's canary, the same in every run."""

_AUX = {
    "phdr": 3,
    "phent": 4,
    "phnum": 5,
    "pagesz": 6,
    "base": 7,
    "flags": 8,
    "entry": 9,
    "uid": 11,
    "euid": 12,
    "gid": 13,
    "egid": 14,
    "platform": 15,
    "hwcap": 16,
    "clktck": 17,
    "secure": 23,
    "random": 25,
    "hwcap2": 26,
    "execfn": 31,
    "minsigstksz": 51,
}
_HWCAP = {"aarch64": 0b11, "x86_64": 0}
"""AArch64: FP and ASIMD, what every kernel reports.  No more, so that no variant of a function is chosen that needs an
extension; x86-64 programs ask CPUID, and unicorn's default model has neither AVX nor XSAVE."""
_MINSIGSTKSZ = {"aarch64": 4720, "x86_64": 1024}
_TRAMPOLINE = {"aarch64": struct.pack("<II", 0xD280_1168, 0xD400_0001)}  # mov x8, #139; svc #0


def map_arena(memory: GuestMemory) -> None:
    """Reserve what brk and mmap will give out."""
    memory.add(ARENA, ARENA_SIZE, ARENA_NAME, writable=True, executable=False)


def map_trampoline(memory: GuestMemory, image: Image) -> int:
    """The page that a signal's handler returns to where the C library has no restorer of its own; 0 where all have.

    Linux has this code in the vDSO.  Here it lies just below the image, so that the code of a process stays close
    together.
    """
    code = _TRAMPOLINE.get(image.arch.name)
    if code is None:
        return 0
    low = min(s.address for s in image.segments) // PAGE * PAGE - PAGE
    if low <= 0:
        low = -(-max(s.end for s in image.segments) // PAGE) * PAGE
    memory.add(low, PAGE, "trampoline", writable=False, executable=True)
    memory.write(low, code)
    return low


def lay_stack(memory: GuestMemory, image: Image, process: Process, top: int) -> int:
    """Write what a new process finds above SP, below *top*; SP.  InputError for an image without program headers
    in memory, which a C library cannot do without."""
    if not image.headers.address:
        raise InputError(f"{image.path}: its program headers are in no segment; it cannot start as a process")
    strings = bytearray()
    at = top - 8  # a null word ends the stack

    def put(data: bytes) -> int:
        nonlocal at
        at -= len(data)
        strings[:0] = data
        return at

    execfn = put(process.arguments[0] + b"\0")
    env = [put(text + b"\0") for text in reversed(process.environment)][::-1]
    argv = [put(text + b"\0") for text in reversed(process.arguments)][::-1]
    platform = put(image.arch.name.encode() + b"\0")
    put(bytes(at % 16))
    random = put(RANDOM)
    values = {
        "phdr": image.headers.address,
        "phent": 56,
        "phnum": image.headers.count,
        "pagesz": PAGE,
        "base": 0,
        "flags": 0,
        "entry": image.entry,
        "uid": 0,
        "euid": 0,
        "gid": 0,
        "egid": 0,
        "secure": 0,
        "platform": platform,
        "hwcap": _HWCAP[image.arch.name],
        "hwcap2": 0,
        "clktck": 100,
        "random": random,
        "execfn": execfn,
        "minsigstksz": _MINSIGSTKSZ[image.arch.name],
    }
    aux = [word for name, value in values.items() for word in (_AUX[name], value)]
    words = [len(argv), *argv, 0, *env, 0, *aux, 0, 0]
    sp = (at - 8 * len(words)) & ~15
    memory.write(sp, struct.pack(f"<{len(words)}Q", *words))
    memory.write(at, bytes(strings))
    return sp
