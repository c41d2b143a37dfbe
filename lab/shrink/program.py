"""A program that is being shrunk: its text and how it is built and run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from lab import registry
from lab.arch import Arch, arch_by_name
from lab.engine.plan import Injection
from lab.errors import ToolchainError
from lab.images.build import INTEGER_FLAGS, RUNTIME, base_flags, build
from lab.images.cache import cache_folder
from lab.images.image import Image, load_image
from lab.images.toolchain import Compiler, find_compiler, musl_includes
from lab.images.workloads import Workload
from lab.layout import RewriteMap
from lab.machine.machine import Limits
from lab.rewriting import with_shadow

STEM: Final = "shrunk"
_STRICT: Final = tuple(
    f"-Werror={what}"
    for what in ("return-type", "uninitialized", "implicit-function-declaration", "implicit-int", "int-conversion")
)
_NO_RESULT: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Program:
    """``source``: C, or assembly where ``suffix`` is ``.S``.  ``flags``: beside those every workload is built with and
    the proposal's.  ``musl``: musl's sources linked in, as in a workload's header.  ``interrupts``: (at the first so
    many executions of each pc, at about every so many-th instruction, seed) of a run in the small kernel, () without.
    ``stem``: what its files in the cache are called; it changes nothing else.
    """

    arch: str
    source: str
    suffix: str = ".c"
    compiler: str = "clang"
    proposal: str = "base"
    flags: tuple[str, ...] = ()
    musl: tuple[str, ...] = ()
    floating: bool = False
    runtime: str = "plain"
    size: str = "small"
    interrupts: tuple[int, int, int] | tuple[()] = ()
    files: tuple[str, ...] = ()
    stem: str = field(default=STEM, compare=False)

    @property
    def injection(self) -> Injection | None:
        """The interrupts its run takes."""
        return Injection(*self.interrupts) if self.interrupts else None

    def image(self, limits: Limits) -> tuple[Image, RewriteMap | None]:
        """Built, and rewritten where the proposal says so; errors as ``lab.images.build`` and the rewriters raise."""
        for file in self.files:
            registry.add_file(Path(file))
        return with_shadow(load_image(self.built()), registry.proposal(self.proposal), limits, cache_folder())

    def built(self) -> Path:
        """The ELF file; ToolchainError where the compiler or linker does not take it."""
        with tempfile.TemporaryDirectory(prefix="unwindlab-shrink-") as folder:
            path = Path(folder) / f"{self.stem}{self.suffix}"
            path.write_text(self.source, encoding="utf-8")
            flags = registry.proposal(self.proposal).compiler_flags(self.arch)
            arch, compiler = arch_by_name(self.arch), find_compiler(self.compiler)
            return build(self._workload(path), arch, flags, self.size, compiler, runtime=self.runtime)

    def sound(self) -> bool:
        """Whether the compiler finds no value that is missing in it: leaving things out must not make a program of
        which the language says nothing.  (Assembly always is.)"""
        if self.suffix != ".c":
            return True
        arch, compiler = arch_by_name(self.arch), find_compiler(self.compiler)
        flags = [flag for flag in base_flags(compiler, arch) if flag != "-w"]
        with tempfile.TemporaryDirectory(prefix="unwindlab-shrink-") as folder:
            path = Path(folder) / f"{STEM}{self.suffix}"
            path.write_text(self.source, encoding="utf-8")
            try:
                compiler.compile(arch, [*flags, *self.flags, *_STRICT, "-fsyntax-only", path.name], cwd=Path(folder))
            except ToolchainError:
                return False
        return True

    def _workload(self, path: Path) -> Workload:
        return Workload(
            name=self.stem, path=path, title="shrunk", rows=(), flags=self.flags, arches=(self.arch,),
            floating=self.floating, musl=self.musl, musl_included=(), expect=_NO_RESULT,
        )  # fmt: skip


def flattened(workload: Workload, arch: Arch, compiler: Compiler, flags: tuple[str, ...]) -> str:
    """The text of *workload* with all it #includes, as the compiler sees it: nothing else is needed to build it."""
    numbers = compiler.narrow_long_double[arch.name] if workload.floating else INTEGER_FLAGS
    folders = (RUNTIME, RUNTIME / "include", *musl_includes(arch))
    places = [argument for folder in folders for argument in ("-I", str(folder))]
    told = [*base_flags(compiler, arch), *numbers, *workload.flags, *flags, *places]
    with tempfile.TemporaryDirectory(prefix="unwindlab-shrink-") as folder:
        output = Path(folder) / "flat"
        compiler.compile(arch, [*told, "-E", "-P", workload.path.name, "-o", str(output)], cwd=workload.path.parent)
        return output.read_text(encoding="utf-8")


def forget(stem: str) -> None:
    """Remove what building candidates called *stem* has left in the cache: none of it is wanted again."""
    for kind, suffix in (("objects", ".o"), ("images", ".elf")):
        for path in (cache_folder() / kind).glob(f"{stem}-*{suffix}"):
            path.unlink(missing_ok=True)
