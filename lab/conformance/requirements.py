"""The requirements: Documentation/livepatch/reliable-stacktrace.rst of Linux v6.13, sections 2 to 4.6, as data.

The document's demands in our own words, each with the stops at which the lab can see whether it is met.  To add one,
add an entry to ``stacks`` or ``interrupts``; tests/conformance checks it against the corpus.
``lab.conformance.requirement`` says what each word means.
"""

from __future__ import annotations

from typing import Final

from lab.conformance.interrupts import INTERRUPTS
from lab.conformance.stacks import STACKS

REQUIREMENTS: Final = (*STACKS, *INTERRUPTS)
"""Every requirement, in the document's order."""
