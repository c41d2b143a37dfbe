"""What else a compiler can be told: the program of ``base`` at other optimisation levels, and with what kernels or
distributions switch on.  Nothing is rewritten, so that a figure that changes here changes by the code's shape alone.

Names are ``base-`` and what differs.  They are variants: a run or a self-test that names no proposal leaves them out.
XRay sleds and pac-ret without a filling are the proposals ``xray`` and ``pac``.

``base-leaf-fp`` and ``base-omit-leaf``: leaf functions with and without a frame record; compilers differ in which they
prefer (clang 22: without on AArch64, with on x86-64; gcc 12: with on AArch64, without on x86-64).
``base-patchable``: NOPs at every function's entry, as many as Linux v6.13 asks for on arm64 (two instructions, Makefile
of arch/arm64, without call ops); on x86-64 the five bytes of a call.
"""

from collections.abc import Mapping

from lab.proposals.api import Proposal

BOTH = ("aarch64", "x86_64")
_LEVELS = {"O0": "without optimisation", "O1": "-O1", "O3": "-O3", "Os": "-Os"}


def _variant(name: str, title: str, flags: Mapping[str, tuple[str, ...]], absent: str = "") -> Proposal:
    arches = BOTH if "" in flags else tuple(arch for arch in BOTH if arch in flags)
    return Proposal(f"base-{name}", title, flags, arches=arches, absent=absent, variant=True)


PROPOSALS = (
    *(_variant(name, f"frame pointers, {title}", {"": (f"-{name}",)}) for name, title in _LEVELS.items()),
    _variant("leaf-fp", "frame pointers in leaves too", {"": ("-mno-omit-leaf-frame-pointer",)}),
    _variant("omit-leaf", "no frame pointers in leaves", {"": ("-momit-leaf-frame-pointer",)}),
    _variant(
        "bti",
        "frame pointers, BTI at indirect targets",
        {"aarch64": ("-mbranch-protection=bti",)},
        "x86-64 has no BTI; its counterpart is base-cet",
    ),
    _variant(
        "pac-bti",
        "frame pointers, pac-ret and BTI",
        {"aarch64": ("-mbranch-protection=standard",)},
        "x86-64 has neither return-address signing nor BTI; see base-cet",
    ),
    _variant(
        "cet",
        "frame pointers, ENDBR64 at indirect targets",
        {"x86_64": ("-fcf-protection=full",)},
        "AArch64 has no CET; its counterparts are base-bti and base-pac-bti",
    ),
    _variant(
        "patchable",
        "frame pointers, NOPs at every entry",
        {"aarch64": ("-fpatchable-function-entry=2",), "x86_64": ("-fpatchable-function-entry=5",)},
    ),
)
