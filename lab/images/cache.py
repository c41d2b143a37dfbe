"""The user's cache folder: files named by the hash of everything that went into them.

Safe for concurrent builders: a file appears by rename, whole, or not at all; two that build the same key
produce the same bytes, and either may win.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from lab.errors import InputError

_OVERRIDE = "UNWINDLAB_CACHE"


def cache_folder() -> Path:
    """``$UNWINDLAB_CACHE``, else ``$XDG_CACHE_HOME/unwindlab``, else ``~/.cache/unwindlab``; absolute, maybe absent."""
    own = os.environ.get(_OVERRIDE)
    if own:
        return Path(own).absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    root = Path(shared) if shared and Path(shared).is_absolute() else _home() / ".cache"
    return root / "unwindlab"


def key_of(parts: Iterable[str | bytes]) -> str:
    """Hexadecimal SHA-256 of *parts*; each is framed by its length, so ("ab", "c") and ("a", "bc") differ."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def cached(relative: str, make: Callable[[Path], None]) -> Path:
    """The cached file *relative*; *make* writes it to the path it is given if it is not there yet.

    InputError (exit 2) if the cache folder cannot be written; whatever *make* raises passes, nothing half-made stays.
    """
    target = cache_folder() / relative
    if target.is_file():
        return target
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".building-", suffix=target.suffix, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        make(temporary)
        temporary.chmod(0o755 if target.suffix == ".elf" else 0o644)
        temporary.replace(target)
    except OSError as error:
        raise InputError(f"{target.parent}: cannot write the cache: {error.strerror}; set ${_OVERRIDE}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return target


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise InputError(f"no home directory for the cache; set ${_OVERRIDE} to a folder") from None
