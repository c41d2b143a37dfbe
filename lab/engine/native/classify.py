"""What an instruction may write, and whether it calls: the native engine's own decoder.

It shares nothing with ``lab.arch.decode``: the two must agree, and a fault of one does not hide in the other.
Stores are found by exclusion: whatever is not positively known to write nothing, or to write to one known place,
is UNPREDICTED, which is always sound and only slow.
"""

from __future__ import annotations

from functools import lru_cache

from lab.arch import Arch
from lab.engine.native.classify_aarch64 import classify_aarch64
from lab.engine.native.classify_x86_64 import classify_x86_64
from lab.engine.native.store_row import (
    CALL,
    NO_REGISTER,
    PC,
    REPEAT,
    RETURN,
    ROW_REGISTERS,
    SIGN_EXTEND,
    STORE,
    UNPREDICTED,
    ZERO_EXTEND,
    Classified,
    predicted,
)

__all__ = [
    "CALL",
    "NO_REGISTER",
    "PC",
    "REPEAT",
    "RETURN",
    "ROW_REGISTERS",
    "SIGN_EXTEND",
    "STORE",
    "UNPREDICTED",
    "ZERO_EXTEND",
    "Classified",
    "classify",
    "predicted",
]

_CLASSIFIERS = {"aarch64": classify_aarch64, "x86_64": classify_x86_64}


def classify(arch: Arch, code: bytes, pc: int) -> Classified:
    """The instruction at the start of *code* (up to 16 bytes at *pc*).

    Undecodable bytes, and code that ends within an instruction, have the size ``arch.insn_align`` and are
    UNPREDICTED wherever a processor might know them.  Nothing depends on *pc*: a pc-relative store says so in its row.
    """
    return _remembered(arch.name, code[:16])


@lru_cache(maxsize=200_000)
def _remembered(name: str, code: bytes) -> Classified:
    return _CLASSIFIERS[name](code)
