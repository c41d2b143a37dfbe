"""A rewritten position-independent image and its map, moved together."""

from __future__ import annotations

from dataclasses import replace

from lab.layout import RewriteMap


def rebased_map(rewrite: RewriteMap, by: int) -> RewriteMap:
    """The map of the image that ``lab.images.rebase.rebased`` moves by as many bytes."""
    layout = rewrite.layout
    in_image = layout.limit > layout.base  # storage of the image's own; a parallel shadow stack has none
    return replace(
        rewrite,
        layout=replace(
            layout,
            cell=None if layout.cell is None else layout.cell + by,
            base=layout.base + by * in_image,
            limit=layout.limit + by * in_image,
            rows=tuple(replace(row, start=row.start + by, end=row.end + by) for row in layout.rows),
        ),
        inserted=tuple(replace(piece, start=piece.start + by, end=piece.end + by) for piece in rewrite.inserted),
        carried=tuple(replace(piece, old=piece.old + by, new=piece.new + by) for piece in rewrite.carried),
    )
