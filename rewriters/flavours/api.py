"""What a flavour file defines.

A sequence is one line of text: instructions in capstone's spelling, separated by ``;``.  ``{s0} {s1}`` are
scratch registers that are dead at the site, ``{lo}`` is the pointer cell's offset in its page, ``{lr}`` in a pop is
the register the function returns through (x30 but for rare assembly).  A leading ``@`` marks a pc-relative form
(rewriters.encode).  ``!`` behind an instruction marks the one that, once retired,
changes the answer to "is this activation on the shadow stack?".

Rules every sequence keeps:

* AArch64 leaves NZCV alone: clang puts AUTIASP between a compare and its branch.
* The pointer moves last in a push (store first) and last in a pop (read first): whoever reads the shadow stack from
  an interrupt finds no entry that has not been written, and a pop stands an interrupter that pushes on the same
  shadow stack.  A push of ``memory`` does not: between its store and its pointer update such an interrupter
  overwrites the entry.  (Moving the pointer first would stand that, and show a stale entry meanwhile.)  Kernels
  give interrupts a shadow stack of their own.
* x86-64 never leaves the return address below RSP, where an interrupt would overwrite it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.layout import Flavour, Policy

#: Distance of a parallel shadow stack below the stack: 0xC00 pages = 12 MiB (bytes).
DISTANCE = 0xC00 << 12

#: The compare-and-trap tails of ``check``: {s0} holds the shadow value.
A64_TRAP = "eor {s0}, {s0}, {lr}; @cbz {s0}, 8; brk #1"
X86_TRAP = "cmp {s0}, qword ptr [rsp]; @je 2; ud2"


@dataclass(frozen=True)
class FlavourSpec:
    """One flavour.  ``push`` and ``pop`` map an architecture's name to its text; one that is missing is not
    supported there.  ``pop`` has a text per policy; "" means that nothing is to be done.

    ``reach`` tells an unwinder how to read what the sequences leave (lab.layout.Flavour).
    """

    name: str
    title: str
    reach: Flavour
    push: Mapping[str, str]
    pop: Mapping[str, Mapping[Policy, str]]
