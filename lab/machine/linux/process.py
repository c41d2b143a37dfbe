"""What a process is started with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lab.errors import InputError
from lab.machine.linux.tree import Node, empty_root, snapshot

ARGUMENT_LIMIT = 128 << 10
"""Bytes that arguments and environment may have together, as each string of them has in Linux (MAX_ARG_STRLEN)."""


@dataclass(frozen=True)
class Process:
    """``argv`` (argv[0] included), ``env`` as NAME=value strings, what standard input gives, and the folder that the
    guest sees as ``/`` (None: an empty one).

    The folder is read once, when the first machine starts with this object; what a guest writes stays in that machine.
    InputError for strings that no process can have, and for a folder that cannot be read or is too large.
    """

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    stdin: bytes = b""
    root: Path | None = None

    def __post_init__(self) -> None:
        if not self.argv:
            raise InputError("a process needs at least argv[0]")
        for text in (*self.argv, *self.env):
            if "\0" in text:
                raise InputError(f"an argument with a NUL character: {text[:40]!r}")
        for text in self.env:
            if "=" not in text[1:]:
                raise InputError(f"environment '{text[:40]}': write it as NAME=value")
        if sum(len(text) + 9 for text in (*self.arguments, *self.environment)) > ARGUMENT_LIMIT:
            raise InputError(f"arguments and environment have more than {ARGUMENT_LIMIT >> 10} KiB together")

    @property
    def arguments(self) -> tuple[bytes, ...]:
        """``argv`` as the guest's bytes."""
        return tuple(os.fsencode(text) for text in self.argv)

    @property
    def environment(self) -> tuple[bytes, ...]:
        """``env`` as the guest's bytes."""
        return tuple(os.fsencode(text) for text in self.env)

    @cached_property
    def files(self) -> Node:
        """The root folder as it was when this was first asked for; copy it before writing."""
        return empty_root() if self.root is None else snapshot(self.root)
