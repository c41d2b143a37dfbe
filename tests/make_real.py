"""Put real static programs where tests find them (``lab.images.real``): ``make real``.

Downloads Debian's static busybox and bash for both architectures through apt, as far as its lists have them, and builds
the programs of ``tests/real`` with the compilers that are installed.  What cannot be had is named, and is no error.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from lab.images.real import PROGRAMS, real_folder

SOURCES = Path(__file__).parent / "real"
_DEBIAN = {
    "busybox-arm64": ("busybox-static:arm64", "bin/busybox"),
    "busybox-amd64": ("busybox-static:amd64", "bin/busybox"),
    "bash-arm64": ("bash-static:arm64", "bin/bash-static"),
    "bash-amd64": ("bash-static:amd64", "bin/bash-static"),
}
_BUILT = {
    "glibc-aarch64": ("aarch64-linux-gnu-gcc", "everything.c"),
    "glibc-x86_64": ("x86_64-linux-gnu-gcc", "everything.c"),
    "musl-x86_64": ("x86_64-linux-musl-gcc", "everything.c"),
    "musl-aarch64": ("aarch64-linux-musl-gcc", "everything.c"),
    "cxx-aarch64": ("aarch64-linux-gnu-g++", "throws.cc"),
    "cxx-x86_64": ("x86_64-linux-gnu-g++", "throws.cc"),
}
FLAGS = ("-O2", "-g0", "-static", "-no-pie", "-fno-pie")
RELOCATIONS = "-Wl,--emit-relocs"
_ZIG = ("-lc", "-OReleaseFast", "-fno-strip", "-static", "-flld", "-fno-PIE", "--emit-relocs")
"""Its ``cc`` passes --emit-relocs on to no linker."""


class Unavailable(Exception):  # noqa: N818  a finding, not an error
    """Why a program cannot be had here."""


def member(deb: bytes, wanted: str) -> bytes:
    """A file of a Debian package: an ar archive (deb(5)) whose data.tar holds it as ./*wanted*."""
    if deb[:8] != b"!<arch>\n":
        raise Unavailable("the package is no ar archive")
    at = 8
    while at + 60 <= len(deb):
        name, size = deb[at : at + 16].decode().strip(), int(deb[at + 48 : at + 58])
        if name.startswith("data.tar"):
            try:
                with tarfile.open(fileobj=io.BytesIO(deb[at + 60 : at + 60 + size])) as tar:
                    file = tar.extractfile(f"./{wanted}")
                    return file.read() if file else b""
            except (tarfile.TarError, KeyError) as error:
                raise Unavailable(f"the package's {name} cannot be read: {error}") from None
        at += 60 + size + size % 2
    raise Unavailable("the package holds no data.tar")


def download(package: str, wanted: str, folder: Path) -> bytes:
    """The file *wanted* of the package, fetched by apt into *folder*."""
    if shutil.which("apt-get") is None:
        raise Unavailable("no apt-get")
    done = subprocess.run(
        ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    found = list(folder.glob("*.deb"))
    if done.returncode or not found:
        reason = next(iter(done.stderr.strip().splitlines()), "apt-get gave nothing")
        raise Unavailable(f"{reason} (dpkg --add-architecture arm64 and apt-get update may help)")
    return member(found[0].read_bytes(), wanted)


def build(compiler: str, source: str, folder: Path) -> bytes:
    """The program of *source*."""
    short = compiler.removeprefix("x86_64-linux-gnu-").replace("x86_64-linux-musl-gcc", "musl-gcc")
    command = shutil.which(compiler) or shutil.which(short)
    out = folder / "program"
    words = [command, *FLAGS, RELOCATIONS, "-o", str(out), str(SOURCES / source)] if command else []
    if command is None and compiler.endswith("-linux-musl-gcc"):  # the wheel's clang makes its own musl, in a minute
        words = [sys.executable, "-m", "ziglang", "build-exe", "-target", compiler.removesuffix("-gcc"), *_ZIG]
        words += ["-cflags", "-O2", "-g0", "--", str(SOURCES / source), f"-femit-bin={out}"]
    if not words:
        raise Unavailable(f"no {compiler}")
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        raise Unavailable(f"{compiler}: {next(iter(done.stderr.strip().splitlines()), 'failed')}")
    return out.read_bytes()


def make(name: str) -> bytes:
    """The program called *name*.  Unavailable where this machine cannot have it."""
    with tempfile.TemporaryDirectory(prefix="unwindlab-real-") as folder:
        if name in _DEBIAN:
            return download(*_DEBIAN[name], Path(folder))
        return build(*_BUILT[name], Path(folder))


def main() -> None:
    """Every program that is not there yet."""
    target = real_folder()
    target.mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        path = target / program.name
        if path.is_file():
            print(f"{program.name}: there already")
            continue
        try:
            data = make(program.name)
        except Unavailable as reason:
            print(f"{program.name}: not available: {reason}", file=sys.stderr)
            continue
        path.write_bytes(data)
        path.chmod(0o755)
        print(f"{program.name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
