"""Unwind information that follows the code: a new .eh_frame, .eh_frame_hdr and exception tables."""

from __future__ import annotations

from rewriters.unwind.build import UnwindTables, build
from rewriters.unwind.registration import Registration, registered, registrations
from rewriters.unwind.source import Obstacles, catching, read_frames, read_lsda
from rewriters.unwind.spans import Edits, Places, Span

__all__ = [
    "Edits",
    "Obstacles",
    "Places",
    "Registration",
    "Span",
    "UnwindTables",
    "build",
    "catching",
    "read_frames",
    "read_lsda",
    "registered",
    "registrations",
]
