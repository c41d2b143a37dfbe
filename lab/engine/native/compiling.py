"""Compiled modules, kept in the user's cache folder by everything that goes into them.

numba's own cache looks only at the file a function stands in, so a change in another file would give a stale
hit.  Here a module is one generated text, and its folder is named by the hash of that text, of the texts of
``primitives`` and ``inlining`` and of the versions of numba and llvmlite: another source is another folder.  (numba
itself keeps what it compiled apart by processor.)  The least recently used folders beyond KEPT are removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.errors import NumbaError

from lab.engine.native import inlining, primitives
from lab.engine.native.generate import evaluator_module, hook_module
from lab.engine.native.texts import kept_text, write_whole
from lab.errors import InputError, LabError
from lab.images.cache import cache_folder
from lab.lowering.source import NotLowerable
from lab.unwind.api import Unwinder

KEPT = 1000
"""Modules kept on disk, some 100 KiB each."""

_FILE = "module.py"
_CODE = "__pycache__"
_SUMS = "sums"


@dataclass(frozen=True)
class Compiled:
    """A native function.  ``entry`` keeps it alive; ``cached``: it came from the cache folder."""

    address: int
    entry: Any
    cached: bool


class NotCompiled(Exception):  # noqa: N818  a property of the unwinder, not an error of anybody's
    """The unwinder has no native form; the text says why."""


@cache
def compiled_hook() -> Compiled:
    """The CODE hook."""
    return compiled(kept_text(cache_folder() / "native", "hook", hook_module))


def compiled_evaluator(unwinder: Unwinder) -> Compiled:
    """The evaluator of *unwinder*; NotCompiled where its functions have none."""
    found = _evaluator(unwinder.start, unwinder.step, unwinder)
    if isinstance(found, str):
        raise NotCompiled(found)
    return found


@cache
def _evaluator(_start: object, _step: object, unwinder: Unwinder) -> Compiled | str:
    try:
        return compiled(evaluator_module(unwinder))
    except NotLowerable as error:
        return str(error)
    except NumbaError as error:
        return f"numba: {_one_line(error)}"
    except LabError:
        raise
    except Exception as error:  # numba has failures of its own that are not NumbaErrors
        return f"numba: {type(error).__name__}: {' '.join(str(error).split())}"[:160]


def _one_line(error: NumbaError) -> str:
    """The line of a numba message that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Failed in", "During", "File", "No impl", ">>>", "There"))]
    named = [line for line in told if "rror" in line or "annot" in line]
    return (named or told or lines or ["cannot be compiled"])[0][:160]


@cache
def compiled(text: str) -> Compiled:
    """The module *text*, compiled or from the cache."""
    folder = cache_folder() / "native" / digest(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)  # nobody else prunes it now
        with _locked(folder.parent / f".{folder.name[:2]}.lock"):
            found = _load(folder, text)
        _prune(folder.parent, folder)
    except OSError as error:
        where = "set $UNWINDLAB_CACHE to a folder that can be written"
        raise InputError(f"{folder}: cannot keep compiled code there: {error.strerror}; {where}") from error
    return found


def digest(text: str) -> str:
    """The name of the module *text*: a hash of all that what is compiled from it depends on."""
    ours = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in (primitives, inlining)]
    whole = "\0".join((text, *ours, numba.__version__, llvmlite.__version__, sys.version))
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process compiles; the others wait, and find it done."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _load(folder: Path, text: str) -> Compiled:
    file, sums = folder / _FILE, folder / _SUMS
    write_whole(file, text)
    if not sums.exists() or sums.read_bytes() != _sums(folder).encode():
        shutil.rmtree(folder / _CODE, ignore_errors=True)  # numba would run whatever lies there
    module_name = f"unwindlab_native_{folder.name}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # numba finds a function's module by its name
    try:
        with np.errstate(over="ignore"), _kept_beside_source():  # numba folds constants, which wrap
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    write_whole(sums, _sums(folder))
    return Compiled(module.entry.address, module.entry, module.entry.cache_hits > 0)


@contextmanager
def _kept_beside_source() -> Iterator[None]:
    """$NUMBA_CACHE_DIR, which moves all of a user's own numba modules, is not for those whose sums are kept here."""
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, ""
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


def _sums(folder: Path) -> str:
    """What numba keeps in *folder*: a hash and a name a line."""
    files = sorted((folder / _CODE).glob("*"))
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)


def _age(path: Path) -> float:
    """When *path* was used last; another process may have removed it by now."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _prune(parent: Path, current: Path) -> None:
    """Remove the modules used longest ago.  A process that has one loaded does not need its files any more."""
    folders = [(_age(path), path) for path in parent.iterdir() if path.is_dir()]
    for _, path in sorted(folders)[: max(0, len(folders) - KEPT)]:
        if path != current:
            shutil.rmtree(path, ignore_errors=True)
