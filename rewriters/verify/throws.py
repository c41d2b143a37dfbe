"""Where exceptions go: the landing pads of the original image."""

from __future__ import annotations

import bisect

from lab.images.image import Image
from lab.metadata.cfi_lsda import CallSite
from rewriters.unwind import read_frames, read_lsda


def landing_pads(image: Image) -> list[CallSite]:
    """Call sites with a landing pad, by address.  InputError for damaged tables."""
    frames = read_frames(image)
    tables = [] if frames is None else [read_lsda(image, fde) for fde in frames.fdes if fde.lsda]
    return sorted(site for table in tables for site in table.sites if site.landing_pad)


def pad_of(pads: list[CallSite], after: int) -> CallSite | None:
    """The one of *pads* that covers a call which ends at *after*."""
    index = bisect.bisect_left(pads, after, key=lambda site: site.start) - 1
    return pads[index] if index >= 0 and after <= pads[index].end else None
