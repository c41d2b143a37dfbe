"""The static checks of a rewrite, repeated on files: anybody's image, anybody's rewrite of it, and its map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.errors import InputError
from lab.images.image import load_image
from lab.layout import RewriteMap, map_path
from lab.untrusted import Stage, apart
from rewriters.verify import static_checks

_MIB = 1 << 20
VERIFIER = Stage("the verifier", 60, 60, 1024 * _MIB, 1024 * _MIB)


def verify_files(old: Path, new: Path, map_file: Path | None = None) -> dict[str, Any]:
    """Check that *new* is the rewrite of *old* that the map (beside *new*, or *map_file*) says: name of each check ->
    {"ok", "problems" (how many), "first" (up to three)}.

    InputError for files that cannot be read; what is wrong between them is a result."""
    said = read_map(map_file or map_path(new))
    return apart(VERIFIER, new, _checked, old, new, said)


def _checked(old: Path, new: Path, said: RewriteMap) -> dict[str, Any]:
    before, after = load_image(old), load_image(new)
    if not before.arch.name == after.arch.name == said.arch:
        raise InputError(f"{new}: {after.arch.name}, and its map {said.arch}; {old} is {before.arch.name}")
    return static_checks(before, after, said)


def read_map(path: Path) -> RewriteMap:
    """The map in the file *path*; InputError if it is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no rewrite map here; name it with --map") from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path}: cannot read the rewrite map: {why}") from None
    return RewriteMap.from_json(text, str(path))
