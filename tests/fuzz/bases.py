"""Sound images to be damaged: small guests of both architectures, images of the corpus, and files one is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab.arch import ARCHES
from lab.errors import LabError
from lab.images.build import build
from lab.images.toolchain import find_compiler
from lab.images.workloads import workload_by_name
from rewriters import REWRITERS
from tests.rewriters import guests

FILLED = {"pac", "xray"}
"""Modes that need what a compiler leaves; the others take any image."""

_ANY = tuple(mode for mode in REWRITERS if mode not in FILLED)
_GUESTS = (
    ("aarch64", "pac", "cell", ()),
    ("aarch64", "pac", "x18", ()),
    ("aarch64", "xray", "cell", ()),
    ("x86_64", "xray", "cell", ()),
    ("x86_64", "xray", "", ("-s",)),
    ("aarch64", "pac", "", ("-s",)),
    ("aarch64", "none", "cell", ("--eh-frame-hdr",)),
    ("x86_64", "none", "cell", ("--eh-frame-hdr",)),
    ("x86_64", "xray", "cell", ("-pie", "--no-dynamic-linker", "--eh-frame-hdr")),
    ("aarch64", "pac", "cell", ("-pie", "--no-dynamic-linker")),
)
#: Without setjmp, which modes that analyse code must understand first.
_PLAIN = """
#define N __attribute__((noinline))
N long leaf(long a) { return a * 3 + 1; }
N long fib(long n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
N long tail(long n) { long r = fib(n); __asm__ volatile("" : : "r"(r) : "memory"); return fib(r % 7); }
long (*volatile pointer)(long) = fib;
N long indirect(long n) { return pointer(n & 7) + 1; }
N long table(long n) {
    switch (n % 6) { case 0: return leaf(n); case 1: return n ^ 7; case 2: return fib(n & 3); case 3: return ~n;
                     case 4: return n * n; default: return tail(n & 3) + 2; }
}
N long large(long n) { volatile char room[4096]; room[n] = 3; return leaf(room[n]) + table(n); }
long compute(void) {
    long sum = 0;
    for (long i = 0; i < 12; i++) sum = sum * 31 + table(i) + tail(i & 7) + indirect(i) + large(i);
    return sum & 63;
}
"""
_CORPUS = ("early", "longjmp", "switch", "tailcall", "leaf", "printf")
_FLAVOURS = {"cell": ("memory", "parallel"), "x18": ("register", "parallel"), "": ("parallel",)}


@dataclass(frozen=True)
class Base:
    """A sound image, and the rewrites that may be expected to succeed on it."""

    name: str
    arch: str
    path: Path
    modes: tuple[str, ...]
    flavours: tuple[str, ...]
    all_modes: tuple[str, ...] = REWRITERS


def restricted(bases: Iterable[Base], modes: Sequence[str]) -> list[Base]:
    """*bases* that suit some of *modes*, asked for those only."""
    found = [(base, tuple(mode for mode in base.modes if mode in modes)) for base in bases]
    return [replace(base, modes=left, all_modes=tuple(modes)) for base, left in found if left]


def guest_bases(folder: Path) -> list[Base]:
    """Images of some KiB, built into *folder*."""
    found = []
    for arch, mode, keeps, link in _GUESTS:
        name = " ".join((arch, mode, keeps or "plain", *link))
        path = guests.build(folder / name.replace(" ", "_"), arch, mode, keeps, link_flags=("--build-id", *link))
        own = (mode, mode) if mode in FILLED else ()
        found.append(Base(name, arch, path, (*own, *_ANY) or REWRITERS, _FLAVOURS[keeps]))
    for arch in ("aarch64", "x86_64"):
        for link in ((), ("-s",)):
            name = " ".join((arch, "plain", *link))
            source = guests.Source("a.c", _PLAIN, guests.c_flags(arch, "none"))
            path = guests.build_plain(folder / name.replace(" ", "_"), arch, [source], ("--build-id", *link))
            found.append(Base(name, arch, path, _ANY or REWRITERS, ("memory", "parallel")))
    return found


def corpus_bases() -> Iterator[Base]:
    """Images of the corpus, from the lab's cache."""
    for arch in ARCHES:
        for mode in ("pac", "xray", "none"):
            if mode == "pac" and arch.lr is None:
                continue
            flags = (*guests.MODE_FLAGS[mode], *(("-ffixed-x18",) if arch.shadow_register else ()))
            for name in _CORPUS:
                path = build(workload_by_name(name), arch, flags, "small", find_compiler())
                own = (mode, mode) if mode in FILLED else ()
                modes = (*own, *_ANY) or REWRITERS
                yield Base(f"{arch.name} {mode} {name}", arch.name, path, modes, ("memory", "parallel"))


def given_bases(paths: Iterable[Path]) -> Iterator[Base]:
    """Any ELF files; a folder stands for the files in it."""
    from lab.untrusted import load_untrusted

    for path in paths:
        files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
        for file in files:
            try:
                arch = load_untrusted(file).arch.name
            except LabError:
                continue
            yield Base(file.name, arch, file, _ANY or REWRITERS, ("memory", "parallel"))
