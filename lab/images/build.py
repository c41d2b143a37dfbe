"""Workload -> Image file: compile, link, cache by content.

Every image is a static ET_EXEC with its relocations kept (--emit-relocs), a PT_NOTE (the build-id) whose program
header a rewriter may reuse, and a writable LOAD segment.  The text of the small and the large image of a workload
is the same: the size is one constant in an object of its own.

Flags follow kernels: frame pointers, no red zone, general registers only (unless the header says ``float``), no
CET, static addresses, no vectorisation.  Leaf functions are left to clang's default for the architecture, as the
arm64 kernel leaves them: on AArch64 a leaf has no frame record, on x86-64 it has one.  -ffixed-x18 is never a base
flag: a design that wants x18 says so itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from lab.arch import Arch
from lab.errors import InputError, UnsupportedError
from lab.images.cache import cache_folder, cached, key_of
from lab.images.toolchain import Compiler, find_compiler, musl_includes, musl_root
from lab.images.workloads import CORPUS, RUNTIMES, SIZES, Workload

SCHEMA = "1"
"""Part of every key: raise it when the meaning of a key's other parts changes."""

RUNTIME = CORPUS / "runtime"
KERNEL = RUNTIME / "kernel"
# fmt: off
BASE_FLAGS = (
    "-O2", "-std=gnu11", "-w", "-ffreestanding", "-nostdinc", "-D_XOPEN_SOURCE=700",
    "-fno-omit-frame-pointer", "-fasynchronous-unwind-tables", "-fno-exceptions", "-fno-stack-protector",
    "-fno-pic", "-fno-pie", "-fno-common", "-fno-strict-aliasing",
)
MATH_FLAGS = ("-ffp-contract=off", "-fno-math-errno")
ARCH_FLAGS = {
    "aarch64": ("-mno-outline-atomics",),
    "x86_64": ("-mno-red-zone", "-fcf-protection=none"),
}
INTEGER_FLAGS = ("-mgeneral-regs-only",)
# --no-relax: a relaxed adrp/add pair would no longer match the relocations kept for it.
LINK_FLAGS = (
    "-static", "--emit-relocs", "--no-relax", "--build-id=sha1", "--eh-frame-hdr", "--fatal-warnings",
    "--entry=_start", "--image-base=0x400000",
    "-z", "max-page-size=4096", "-z", "separate-code", "-z", "noexecstack", "-z", "norelro",
)
# fmt: on


def base_flags(compiler: Compiler, arch: Arch) -> tuple[str, ...]:
    """What *compiler* is told for all C code for *arch*, whatever the design."""
    return (*BASE_FLAGS, *compiler.scalar, *MATH_FLAGS, *ARCH_FLAGS[arch.name])


def unbuildable(workload: Workload, arch: Arch, compiler: Compiler) -> str | None:
    """Why *compiler* cannot build *workload* for *arch*, None if it can."""
    if not workload.built_by(compiler.name, arch.name):
        return f"{workload.name} cannot be built by {compiler.name} for {arch.title} (its header says why)"
    if workload.floating and arch.name not in compiler.narrow_long_double:
        return f"{compiler.name} for {arch.title} has no 64-bit long double, which {workload.name} is built with"
    return None


# In this order, the assembly last: it marks the end of the kernel's text.
_KERNEL_C = ("task.c", "irq.c", "user.c", "arch.c")
# Through these calls of the runtime a workload now and then gives the processor away (user.c).
_KERNEL_LINK_FLAGS = tuple(f"--wrap=lab_{name}" for name in ("mix", "mix_bytes", "mix_text", "next", "check"))
# Of a workload that asks for them: the kernel's function tracing.
_TRACING_C, _TRACING_HEADER = ("ftrace.c",), b'#include "kernel/ftrace.h"'
_RUNTIME_C = ("mem.c", "str.c", "ctype.c", "alloc.c", "libc.c")
_RUNTIME_FLOAT_C = ("fp.c",)


def build(
    workload: Workload,
    arch: Arch,
    flags: Sequence[str] = (),
    size: str = "small",
    compiler: Compiler | None = None,
    *,
    runtime: str = "",
) -> Path:
    """The ELF image of *workload* for *arch*, from the cache or built now.

    *flags* are a design's compiler flags; they apply to all C code, musl's and the runtime's included.  *size* is
    "small" or "large", *runtime* one of RUNTIMES, "" for what the workload's
    header says.  UnsupportedError (exit 2) if the workload is not for *arch*;
    InputError for an unknown size or runtime, or a source that is not there; ToolchainError (exit 3) if compiler or
    linker is missing or fails.
    """
    if size not in SIZES:
        raise InputError(f"unknown input size '{size}'; known: {', '.join(SIZES)}")
    runtime = runtime or workload.runtime
    if runtime not in RUNTIMES:
        raise InputError(f"unknown runtime '{runtime}'; known: {', '.join(RUNTIMES)}")
    if arch.name not in workload.arches:
        raise UnsupportedError(f"workload '{workload.name}' is not for {arch.name}; only {', '.join(workload.arches)}")
    compiler = compiler or find_compiler()
    if reason := unbuildable(workload, arch, compiler):
        raise UnsupportedError(reason)
    shop = _Shop(compiler, arch, workload, tuple(flags))
    needed = [shop.c(workload.path), shop.c(RUNTIME / "rt.c"), *shop.start(runtime), shop.size(size)]
    optional = [shop.musl(source) for source in workload.musl] + shop.library()
    if runtime == "plain":
        return shop.link(needed, optional, f"{workload.name}-{arch.name}-{size}")
    return shop.link(needed, optional, f"{workload.name}-{runtime}-{arch.name}-{size}", _KERNEL_LINK_FLAGS)


class _Shop:
    """Objects and image of one (compiler, architecture, workload, flags)."""

    def __init__(self, compiler: Compiler, arch: Arch, workload: Workload, flags: tuple[str, ...]) -> None:
        self.compiler = compiler
        self.arch = arch
        self.workload = workload
        number_flags = compiler.narrow_long_double[arch.name] if workload.floating else INTEGER_FLAGS
        self.flags = (*base_flags(compiler, arch), *number_flags)
        self.design = flags

    def c(self, path: Path) -> Path:
        """A source of ours: the workload itself (with its own flags) or a part of the runtime."""
        own = path == self.workload.path
        extra = self.workload.flags if own else ()
        included = self.workload.musl_included if own else ()
        return self._object(path, (*self.flags, *extra, *self.design), included)

    def musl(self, source: str) -> Path:
        return self._object(_musl_source(self.workload, source), (*self.flags, *self.workload.flags, *self.design))

    def library(self) -> list[Path]:
        """The runtime's optional objects: linked only where one of their symbols is needed."""
        parts = _RUNTIME_C + (_RUNTIME_FLOAT_C if self.workload.floating else ())
        return [*(self.c(RUNTIME / name) for name in parts), self._object(RUNTIME / f"setjmp_{self.arch.name}.S", ())]

    def start(self, runtime: str) -> list[Path]:
        """What runs before the workload's main: the start stub, or the kernel."""
        if runtime == "plain":
            return [self._object(RUNTIME / f"start_{self.arch.name}.S", ())]
        flags = (*base_flags(self.compiler, self.arch), *INTEGER_FLAGS, *self.design)
        tracing = _TRACING_HEADER in _read(self.workload.path)
        sources = [self._object(KERNEL / name, flags) for name in _KERNEL_C + (_TRACING_C if tracing else ())]
        if tracing:
            sources.append(self._object(KERNEL / f"ftrace_{self.arch.name}.S", ()))
        signed = any(flag.startswith("-mbranch-protection") and flag != "-mbranch-protection=bti" for flag in flags)
        patchable = ("-DLAB_PATCHABLE",) if signed else ()
        return [*sources, self._object(KERNEL / f"entry_{self.arch.name}.S", patchable)]

    def size(self, size: str) -> Path:
        return self._object(RUNTIME / "size.c", (*BASE_FLAGS, f"-DLAB_LARGE={SIZES.index(size)}"))

    def link(self, needed: list[Path], optional: list[Path], name: str, flags: Sequence[str] = ()) -> Path:
        objects = [*needed, *optional]
        told = (*LINK_FLAGS, *flags)
        key = key_of([SCHEMA, self.compiler.describe(), *told, str(len(needed)), *(p.name for p in objects)])

        def make(output: Path) -> None:
            # Relative names: the linker's messages and any name it records are free of the cache's place.
            lazily = ["--start-lib", *(p.name for p in optional), "--end-lib"]
            arguments = [*told, "-o", str(output), *(p.name for p in needed), *lazily]
            self.compiler.link(arguments, cwd=cache_folder() / "objects")

        return cached(f"images/{name}-{key[:24]}.elf", make)

    def _object(self, path: Path, flags: tuple[str, ...], included: Sequence[str] = ()) -> Path:
        """The object of *path*.  The key covers all that the compiler reads; the wheel's version in describe()
        stands for musl's headers, which never change within one."""
        parts: list[str | bytes] = [
            SCHEMA,
            self.compiler.describe(),
            self.arch.name,
            str(len(flags)),
            *flags,
            path.name,
        ]
        parts += [_read(path), *(_read(_musl_source(self.workload, source)) for source in included)]
        key = key_of([*parts, *_runtime_headers(), *_headers(path.parent)])

        def make(output: Path) -> None:
            folders = (RUNTIME, RUNTIME / "include", *musl_includes(self.arch))
            places = [argument for folder in folders for argument in ("-I", str(folder))]
            # The source is named relative to its folder: its name is in the object's symbol table.
            self.compiler.compile(self.arch, [*flags, *places, "-c", path.name, "-o", str(output)], cwd=path.parent)

        return cached(f"objects/{path.stem}-{key[:24]}.o", make)


def _musl_source(workload: Workload, source: str) -> Path:
    path = musl_root() / "src" / source
    if not path.is_file():
        raise InputError(f"{workload.path}: musl in the installed wheel has no '{source}'; correct the header")
    return path


@cache
def _runtime_headers() -> tuple[bytes, ...]:
    return tuple(_read(path) for path in sorted(RUNTIME.rglob("*.h")))


def _headers(folder: Path) -> list[bytes]:
    """Headers beside a source: an #include "..." finds them first.  (musl's are covered by the wheel's version.)"""
    return [] if folder.is_relative_to(musl_root()) else [_read(path) for path in sorted(folder.glob("*.h"))]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
