"""The unwind information an image brings: read, and judged before anything is planned."""

from __future__ import annotations

from lab.errors import InputError, RefusedError
from lab.images.image import Image
from lab.metadata.cfi import Fde, Frames, frames
from lab.metadata.cfi_lsda import Lsda, lsda
from rewriters.unwind.spans import Span, States

_A_PUSH = 8


def read_frames(image: Image) -> Frames | None:
    """The .eh_frame of *image*, None if it has none.  InputError if it is damaged."""
    section = image.section(".eh_frame")
    if section is None or not section.data:
        return None
    return frames(section.data, section.address, str(image.path))


def read_lsda(image: Image, fde: Fde) -> Lsda:
    """The exception table of *fde* (which has one).  RefusedError if it cannot be understood."""
    for segment in image.segments:
        if segment.address <= fde.lsda < segment.end:
            try:
                return lsda(segment.data, segment.address, str(image.path), fde.lsda, fde.start)
            except InputError as error:
                raise RefusedError(f"{error}; the function at {fde.start:#x} must stay as it is") from None
    raise RefusedError(f"{image.path}: the exception table {fde.lsda:#x} of {fde.start:#x} lies in no segment")


def catching(image: Image, found: Frames) -> tuple[Fde, ...]:
    """FDEs whose landing pads catch or filter exceptions (not only clean up).  RefusedError if a table cannot be
    understood."""
    return tuple(fde for fde in found.fdes if fde.lsda and read_lsda(image, fde).catches)


class Obstacles:
    """Which code cannot be described at another place, known before a place is."""

    def __init__(self, image: Image, found: Frames) -> None:
        self._image, self._frames = image, found
        self._states = States(found, image.arch)

    def why(self, start: int, end: int, *, pushes: bool) -> str:
        """Why new code made from the old code [start, end) cannot be described ("" = it can).  *pushes*: the new
        code keeps something on the stack while it runs."""
        elsewhere = Span(start + 1, start + 2, start, _A_PUSH if pushes else 0)
        try:
            for fde in self._frames.within(start, end):
                for row in self._states.table(fde):
                    self._states.adjusted(row.state, elsewhere, fde)
                if fde.lsda:
                    read_lsda(self._image, fde)
        except RefusedError as error:
            return str(error)
        return ""
