"""What each mode would do with one image: the rewriters' own decisions, timed; the bytes are thrown away."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import rewriters
from lab.errors import LabError, RefusedError, UnsupportedError
from lab.images.image import Image
from lab.layout import Leaves, Policy
from lab.untrusted import REWRITER, apart, load_untrusted


def take(
    source: Path, modes: Iterable[str], flavour: str, policy: str, leaves: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(facts of the image, one row a mode).  A row whose ``refused`` is not "" has no other figures.

    Times are seconds of processor time.  InputError for a file that cannot be read."""
    image = load_untrusted(source)
    facts = {
        "path": str(source),
        "arch": image.arch.name,
        "functions": len(image.functions),
        "functions_from": ".eh_frame" if image.stripped else "symbols",
        "text_bytes": image.text_bytes,
    }
    return facts, [_row(image, mode, flavour, policy, leaves) for mode in modes]


def _row(image: Image, mode: str, flavour: str, policy: str, leaves: str) -> dict[str, Any]:
    try:
        return apart(REWRITER, image.path, _tried, image, mode, flavour, policy, leaves)
    except (RefusedError, UnsupportedError) as error:
        return {"mode": mode, "refused": _reason(error, image), "left_out": []}


def _tried(image: Image, mode: str, flavour: str, policy: str, leaves: str) -> dict[str, Any]:
    made = rewriters.rewrite(image, mode, flavour, Policy(policy), Leaves(leaves))
    census = dataclasses.asdict(made.map.census)
    return {"mode": mode, "refused": ""} | census | dataclasses.asdict(made.took)


def _reason(error: LabError, image: Image) -> str:
    return str(error).removeprefix(f"{image.path}: ")
