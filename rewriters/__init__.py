"""Rewriters: shadow stacks put into the NOPs a compiler left.

    Image --find--> Sites --choose--> functions whose sites pair up, with dead scratch registers
          --plan--> Edits and new text --write--> ELF --verify--> Rewritten(data, map)

Nothing here runs an image or writes a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.layout import Leaves
from rewriters.flavours import all_flavours, flavour_by_name
from rewriters.modes import ANALYSED, unsupported_reason
from rewriters.modes import MODES as REWRITERS
from rewriters.proposed import add_flavour, check_request

if TYPE_CHECKING:
    from lab.images.image import Image
    from lab.layout import Flavour, Policy
    from rewriters.rewriting import Rewritten

__all__ = [
    "ANALYSED",
    "REWRITERS",
    "add_flavour",
    "all_flavours",
    "check_request",
    "flavour_by_name",
    "rewrite",
    "unsupported_reason",
]


def rewrite(image: Image, mode: str, flavour: str | Flavour, policy: Policy, leaves: Leaves = Leaves.ALL) -> Rewritten:
    """See rewriters.rewriting.rewrite (imported on first use: it needs lief)."""
    from rewriters.rewriting import rewrite as run

    return run(image, mode, flavour, policy, leaves)
