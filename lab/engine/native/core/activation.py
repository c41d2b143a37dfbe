"""Where the record of an activation lies."""

from __future__ import annotations

from lab.engine.native.cells import S
from lab.engine.native.primitives import get


def activation(s, level):
    """The record of the activation at *level*."""
    return get(s, S.TRUTH) + level * 64
