"""AArch64's time and random-number registers, which unicorn would answer from the host.

A hook on every ``mrs`` costs a call of Python, and C libraries read their thread pointer by one; so there is a hook
only for a process with code that reads one of these registers.  Source: Arm ARM D19 (CNTPCT_EL0, CNTVCT_EL0, RNDR).
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import unicorn
from unicorn import arm64_const

from lab.machine.linux.clock import Clock
from lab.machine.memory import GuestMemory

_TIMER = frozenset((14, 0, 3, op2) for op2 in (1, 2, 5, 6))  # CRn, CRm, op1, op2: CNTPCT, CNTVCT, and self-synchronised
_RANDOM = frozenset((2, 4, 3, op2) for op2 in (0, 1))  # RNDR, RNDRRS
_WORDS = re.compile(rb"[\x20-\x5f\xa0-\xdf]\xe0\x3b\xd5|[\x00-\x3f]\x24\x3b\xd5", re.DOTALL)
_TICK_NS = 16  # CNTFRQ_EL0 is 62.5 MHz in QEMU


def reads_counters(memory: GuestMemory) -> bool:
    """Whether some AArch64 code reads such a register, or could be written that does."""
    code = [m for m in memory.mappings if m.executable]
    return any(m.writable for m in code) or any(
        hit.start() % 4 == 0 for m in code for hit in _WORDS.finditer(m.pages[:])
    )


def hook_counters(cpu: Any, clock: Clock) -> None:
    """Answer reads of these registers from *clock* and from a fixed sequence."""
    drawn = 0

    def read(_cpu: Any, register: int, source: Any, _data: object) -> bool:
        nonlocal drawn
        which = (source.crn, source.crm, source.op1, source.op2)
        if which in _TIMER:
            cpu.reg_write(register, clock.since_start() // _TICK_NS)
            return True
        if which in _RANDOM:
            drawn += 1
            digest = hashlib.sha256(b"unwindlab rndr %d" % drawn).digest()
            cpu.reg_write(register, int.from_bytes(digest[:8], "little"))
            flags = cpu.reg_read(arm64_const.UC_ARM64_REG_PSTATE)
            cpu.reg_write(arm64_const.UC_ARM64_REG_PSTATE, flags & ~0xF000_0000)  # NZCV = 0: there was one
            return True
        return False

    cpu.hook_add(unicorn.UC_HOOK_INSN, read, None, 1, 0, arm64_const.UC_ARM64_INS_MRS)
