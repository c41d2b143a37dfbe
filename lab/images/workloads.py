"""Workloads: the programs the lab builds, runs and unwinds.  One file in ``corpus/`` is one workload.

The file begins with a header comment, read strictly, so that adding a workload is adding one file (a line
that is indented further continues the one above)::

    /*
     * title: SHA-512 password hashing
     * rows: 12 13 23
     * musl: stdio/sprintf.c stdio/vsprintf.c stdio/vsnprintf.c stdio/vfprintf.c
     *       stdio/fwrite.c stdio/__towrite.c
     * musl-include: crypt/crypt_sha512.c
     * float: yes
     * expect: small 0x0123456789abcdef large 0xfedcba9876543210
     *
     * Anything after the first empty line is prose.
     */

``title``, ``rows`` and ``expect`` must be there.  ``rows`` are rows of the field table the program has a shape
for.  ``musl`` are sources linked in (of their symbols, only what is needed); ``musl-include`` are sources the
program itself #includes to reach static functions: both are part of the cache key.  ``flags`` are further
compiler flags, ``arches`` restricts the architectures, ``compilers`` the compilers (``gcc/aarch64``: gcc for that
architecture only), ``float`` allows floating-point registers (the default
is general registers only, as kernels are built).  ``changes-code: yes``: the program writes its own code while it
runs, which no rewrite of the image can follow.  ``runtime: kernel`` says that the program always runs in the small
kernel.  ``fails``, ``refuses``, ``adds`` and ``survives`` say what designs make of it (lab.images.claims; entries are
separated by ``;``).  ``expect`` is the result the program prints per input size,
the same on every architecture.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from lab.arch import ARCHES
from lab.errors import InputError
from lab.images.claims import KINDS, Claim, parse
from lab.images.toolchain import compiler_names

CORPUS = Path(__file__).parent / "corpus"
SIZES = ("small", "large")
ROWS = range(1, 50)
"""Numbers of the field table's rows."""

RUNTIMES = ("plain", "kernel")
"""What a workload is linked with: a start stub, or a small kernel in which its main is a task (docs/kernel.md)."""

_KEYS = ("title", "rows", "flags", "arches", "compilers", "float", "musl", "musl-include", "runtime",
         "changes-code", *KINDS, "expect")  # fmt: skip
_REQUIRED = ("title", "rows", "expect")
_SUFFIXES = (".c", ".S")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LINE = re.compile(r" \* ([a-z-]+):(?: +(\S.*?))? *")
_MORE = re.compile(r" \*  +(\S.*?) *")
_EXPECT = re.compile(r"small (0x[0-9a-f]{16}) large (0x[0-9a-f]{16})")
_MAX_HEADER_LINES = 40


@dataclass(frozen=True)
class Workload:
    """One program.  ``expect`` maps a size to the 64-bit result the program prints; ``musl`` and
    ``musl_included`` are paths below musl's ``src``.  ``runtime`` is what it is linked with where nothing else is
    asked for; ``claims`` what its header says about designs, in the order of KINDS."""

    name: str
    path: Path
    title: str
    rows: tuple[int, ...]
    flags: tuple[str, ...]
    arches: tuple[str, ...]
    floating: bool
    musl: tuple[str, ...]
    musl_included: tuple[str, ...]
    expect: Mapping[str, int]
    compilers: tuple[str, ...] = ()
    runtime: str = "plain"
    changes_code: bool = False
    claims: tuple[Claim, ...] = ()

    @property
    def foreign(self) -> bool:
        """Whether it runs C code that nobody here wrote."""
        return bool(self.musl or self.musl_included)

    def built_by(self, compiler: str, arch: str) -> bool:
        """Whether the header lets *compiler* build it for *arch*."""
        return not self.compilers or compiler in self.compilers or f"{compiler}/{arch}" in self.compilers

    def expected_output(self, size: str) -> str:
        """Exactly what a correct run writes to standard output (exit status 0)."""
        return f"result {self.expect[size]:#018x}\n"


@cache
def all_workloads() -> tuple[Workload, ...]:
    """Every workload of the corpus, by name.  InputError (exit 2) naming file and line of a malformed header."""
    return workloads_in(CORPUS)


def workloads_in(folder: Path) -> tuple[Workload, ...]:
    """Every workload of *folder* (not its subfolders), by name; two files of one name are an InputError."""
    found: dict[str, Workload] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix in _SUFFIXES):
        workload = read_workload(path)
        if workload.name in found:
            raise InputError(f"{path}: a workload '{workload.name}' already exists; rename one file")
        found[workload.name] = workload
    return tuple(found[name] for name in sorted(found))


def workload_by_name(name: str) -> Workload:
    """The workload called *name*; InputError (exit 2) with the nearest names if there is none."""
    known = {workload.name: workload for workload in all_workloads()}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
    raise InputError(f"unknown workload '{name}'; {hint}")


def read_workload(path: Path) -> Workload:
    """The workload in *path*.  InputError (exit 2) naming file and line if its header is malformed."""
    if not _NAME.fullmatch(path.stem):
        raise InputError(f"{path}: a workload's file name is lower-case letters, digits and single '-'")
    return _Header(path).workload()


class _Header:
    """The header of one file: raw values with their line numbers, then typed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: dict[str, tuple[int, str]] = {}
        self._read()

    def workload(self) -> Workload:
        missing = [key for key in _REQUIRED if key not in self.values]
        if missing:
            raise self._error(1, f"the header has no '{missing[0]}' line")
        return Workload(
            name=self.path.stem,
            path=self.path,
            title=self._title(),
            rows=self._rows(),
            flags=self._flags(),
            arches=self._arches(),
            floating=self._yes("float"),
            changes_code=self._yes("changes-code"),
            musl=self._sources("musl"),
            musl_included=self._sources("musl-include"),
            expect=self._expect(),
            compilers=self._compilers(),
            runtime=self._runtime(),
            claims=self._claims(),
        )

    def _read(self) -> None:
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()[:_MAX_HEADER_LINES]
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise InputError(f"{self.path}: not UTF-8 text") from None
        if not lines or lines[0] != "/*":
            raise self._error(1, "a workload begins with a header comment: '/*' alone on the first line")
        for number, line in enumerate(lines[1:], start=2):
            if line.rstrip() in {" *", " */"}:
                return
            self._take(number, line)
        raise self._error(len(lines), "the header does not end (an empty ' *' line or ' */')")

    def _take(self, number: int, line: str) -> None:
        more = _MORE.fullmatch(line)
        if more and self.values:
            key, (first, value) = list(self.values.items())[-1]
            self.values[key] = (first, f"{value} {more.group(1)}")
            return
        match = _LINE.fullmatch(line)
        if match is None:
            raise self._error(number, f"not a ' * key: value' line: {line[:40]!r}")
        key, text = match.groups()
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(_KEYS)}"
            raise self._error(number, f"unknown key '{key}'; {hint}")
        if key in self.values:
            raise self._error(number, f"'{key}' was given already on line {self.values[key][0]}")
        if text is None:
            raise self._error(number, f"'{key}' has no value")
        self.values[key] = (number, text)

    def _error(self, line: int, reason: str) -> InputError:
        return InputError(f"{self.path}:{line}: {reason}")

    def _words(self, key: str) -> tuple[int, tuple[str, ...]]:
        number, text = self.values.get(key, (0, ""))
        words = tuple(text.split())
        if len(set(words)) != len(words):
            raise self._error(number, f"'{key}' names something twice")
        return number, words

    def _title(self) -> str:
        number, title = self.values["title"]
        if len(title) > 60:
            raise self._error(number, f"the title has {len(title)} characters; tables have room for 60")
        return title

    def _rows(self) -> tuple[int, ...]:
        number, words = self._words("rows")
        if not all(word.isascii() and word.isdigit() and int(word) in ROWS for word in words):
            raise self._error(number, f"'rows' are numbers from {ROWS[0]} to {ROWS[-1]}")
        return tuple(sorted(map(int, words)))

    def _flags(self) -> tuple[str, ...]:
        number, words = self._words("flags")
        if not all(word.startswith("-") for word in words):
            raise self._error(number, "'flags' all begin with '-'")
        return words

    def _arches(self) -> tuple[str, ...]:
        number, words = self._words("arches")
        known = tuple(arch.name for arch in ARCHES)
        if set(words) - set(known):
            raise self._error(number, f"'arches' are of: {' '.join(known)}")
        return words or known

    def _compilers(self) -> tuple[str, ...]:
        number, words = self._words("compilers")
        known = compiler_names()
        allowed = {*known, *(f"{name}/{arch.name}" for name in known for arch in ARCHES)}
        if set(words) - allowed:
            raise self._error(number, f"'compilers' are of: {' '.join(known)}, or one of them for one architecture")
        return words

    def _yes(self, key: str) -> bool:
        number, value = self.values.get(key, (0, "no"))
        if value not in {"yes", "no"}:
            raise self._error(number, f"'{key}' is yes or no")
        return value == "yes"

    def _runtime(self) -> str:
        number, value = self.values.get("runtime", (0, "plain"))
        if value not in RUNTIMES:
            raise self._error(number, f"'runtime' is one of: {' '.join(RUNTIMES)}")
        return value

    def _claims(self) -> tuple[Claim, ...]:
        found: list[Claim] = []
        arches = self._arches()
        for kind in (kind for kind in KINDS if kind in self.values):
            number, text = self.values[kind]
            for claim in parse(kind, text, arches, partial(self._error, number)):
                if claim in found:
                    raise self._error(number, f"'{claim.text(arches)}' is said twice")
                found.append(claim)
        return tuple(found)

    def _sources(self, key: str) -> tuple[str, ...]:
        number, words = self._words(key)
        for word in words:
            path = PurePosixPath(word)
            if path.is_absolute() or ".." in path.parts or path.suffix != ".c":
                raise self._error(number, f"'{word}' is not a C source below musl's src")
        return words

    def _expect(self) -> Mapping[str, int]:
        number, text = self.values["expect"]
        match = _EXPECT.fullmatch(text)
        if match is None:
            raise self._error(number, "'expect' is: small 0x… large 0x…, 16 lower-case hexadecimal digits each")
        return MappingProxyType(dict(zip(SIZES, (int(word, 16) for word in match.groups()), strict=True)))
